"""Sentences without end in several languages, so that an answer in the wrong one can be made to any length without repeating itself."""

from __future__ import annotations

import random

_PARTS: dict[str, tuple[str, str, str, str]] = {
    "por": (
        "a vizinha da casa azul|o velho marinheiro|a professora de música|um rapaz que ninguém conhecia|a dona da padaria|o guarda do jardim|a filha do carteiro|o médico da aldeia",
        "guardou com cuidado|esqueceu sobre a mesa|comprou para os netos|descreveu a todos|procurou durante anos|levou para o mercado|encontrou por acaso|vendeu sem pensar",
        "as cartas que a mãe lhe deixara|um relógio de prata|o mapa da ilha|duas cestas de laranjas|a chave do armazém|um livro sobre pássaros|o retrato do avô|as contas do inverno",
        "antes de a chuva começar|quando a feira já tinha acabado|enquanto os sinos tocavam|na manhã de domingo|sem dizer nada ao irmão|porque o barco estava de partida|como se fosse a última vez|depois de uma longa viagem",
    ),
    "eng": (
        "the keeper of the lighthouse|an old sailor from the north|the girl who sold apples|my neighbour with the grey coat|the clerk at the corner|a stranger in the garden|the baker and his wife|the youngest of the sisters",
        "had carefully wrapped|left on the window sill|was looking for|could never explain|bought at the fair|forgot to mention|wanted to return|found behind the stove",
        "a letter that was not theirs|the silver watch of the captain|two baskets of pears|a map of the island|the key to the store|a book about birds|the portrait of an uncle|the bills of last winter",
        "before the rain began|when the market had closed|while the bells were ringing|on a quiet morning|without a word to anyone|because the boat would leave at noon|as if it were for the last time|after a long journey",
    ),
    "fra": (
        "la voisine de la maison bleue|le vieux marin du port|une fille qui vendait des pommes|le gardien du jardin|la femme du boulanger|un inconnu avec un manteau gris|le médecin du village|la plus jeune des soeurs",
        "avait rangé avec soin|oubliait sur la table|a acheté pour les enfants|cherchait depuis des années|ne voulait pas rendre|a trouvé par hasard|décrivait à tous|emportait au marché",
        "les lettres que sa mère lui avait laissées|une montre en argent|la carte de l'île|deux paniers d'oranges|la clef du magasin|un livre sur les oiseaux|le portrait de son oncle|les comptes de l'hiver",
        "avant que la pluie ne commence|quand la foire était finie|pendant que les cloches sonnaient|par un matin tranquille|sans rien dire à personne|parce que le bateau allait partir|comme si c'était la dernière fois|après un long voyage",
    ),
    "deu": (
        "die Nachbarin aus dem blauen Haus|der alte Seemann vom Hafen|ein Mädchen mit einem Korb|der Wächter des Gartens|die Frau des Bäckers|ein Fremder in einem grauen Mantel|der Arzt aus dem Dorf|die jüngste der Schwestern",
        "hatte mit großer Sorgfalt|wollte schon lange|konnte sich nicht erklären, warum er|sollte noch an diesem Tag|durfte nach der Arbeit|musste für die Kinder|hat zum zweiten Mal|wird auf dem Markt",
        "die Briefe der Mutter|eine silberne Uhr|die Karte der Insel|zwei Körbe mit Birnen|den Schlüssel zu dem Lager|ein Buch über die Vögel|das Bild des Onkels|die Rechnungen aus dem Winter",
        "verkaufen, bevor der Regen begann|suchen, als die Messe vorbei war|behalten, während die Glocken läuteten|mit nach Hause nehmen|vergessen, ohne ein Wort zu sagen|zurückgeben, weil das Schiff am Mittag fuhr|ansehen, als wäre es das letzte Mal|finden nach einer langen Reise",
    ),
    "rus": (
        "соседка из синего дома|старый моряк из порта|девочка с корзиной яблок|сторож у ворот сада|жена пекаря|незнакомец в сером пальто|врач из деревни|младшая из сестёр",
        "бережно хранила|забыл на столе|купила для детей|искал много лет|нашла случайно|не хотел возвращать|описывала всем|унёс на рынок",
        "письма своей матери|серебряные часы|карту острова|две корзины груш|ключ от склада|книгу о птицах|портрет дяди|счета за зиму",
        "пока не начался дождь|когда ярмарка закончилась|пока звонили колокола|тихим утром|никому не сказав ни слова|потому что корабль уходил в полдень|будто в последний раз|после долгой дороги",
    ),
}
LANGUAGES = tuple(_PARTS)


def prose(language: str, characters: int, rng: random.Random) -> list[str]:
    """Sentences in a language of `LANGUAGES`, together about so many characters long, at least one."""
    parts = [part.split("|") for part in _PARTS[language]]
    sentences: list[str] = []
    while not sentences or sum(map(len, sentences)) < characters:
        sentence = " ".join(rng.choice(part) for part in parts)
        sentences.append(f"{sentence[0].upper()}{sentence[1:]}.")
    return sentences
