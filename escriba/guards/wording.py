"""What a model says of its own that stands on no page: its prompt, marks of its chat template, and talk about the task instead of the text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from escriba.guards.grounding import plain

_WORD = re.compile(r"[^\W_]+")
_MARKS = re.compile(
    r"<\|[a-z_]{2,30}\|>|\[/?inst\]|<</?sys>>|</?(?:start|end)_of_turn>|<(?:image|img|pad|unk|eos|bos)>"
    r"|^#{2,4} ?(?:instruction|response|human|assistant)s? ?:|^(?:human|assistant|system|user) ?: *$",
    re.IGNORECASE | re.MULTILINE,
)
_FRAGMENT = 6  # words of a prompt in a row that no page is likely to hold
_EDGE = 320  # characters at either end of an answer: what is said there is more likely the model's than what is said amidst
_READ = 0.6  # share of a sentence's longer words that CPU OCR must have seen for it to stand on the page
_LONGER = 3  # letters

# All without accents and punctuation, in single spaces.
_TEXT = "text|texto|texte|testo|transcri[a-z]+|transkription|trascrizione|content|contents|conteudo|contenido|contenu|inhalt|markdown|html|json|table|tabela|tabla|tableau|tabelle|ocr|summary|resumo|resumen|resume|zusammenfassung|translation|traducao|traduccion|traduction|ubersetzung"
_SEEN = "image|picture|photo|scan|document|page|text|handwriting|file|imagem|foto|documento|pagina|texto|arquivo|ficheiro|imagen|archivo|texte|ecriture|bild|dokument|seite|datei|immagine|testo"
_VERB = "read|see|view|access|process|transcribe|extract|assist|help|fulfil|fulfill|comply|ler|ver|processar|transcrever|extrair|ajudar|leer|procesar|transcribir|extraer|ayudar|lire|voir|traiter|transcrire|extraire|aider|lesen|sehen|verarbeiten|transkribieren|helfen|leggere|trascrivere|aiutare"
_ANYWHERE = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b(?:as|i am|i m|being) an? (?:ai|artificial intelligence|large language|language|vision language) (?:model|assistant)?\b",
        r"\b(?:como modelo de linguagem|(?:como|sou) (?:um|uma) (?:ia|inteligencia artificial|modelo de linguagem|assistente virtual))\b",
        r"\b(?:como modelo de lenguaje|(?:como|soy) (?:un|una) (?:ia|inteligencia artificial|modelo de lenguaje|asistente virtual))\b",
        r"\b(?:en tant qu|je suis une?) ?(?:ia|intelligence artificielle|modele de langage|assistant virtuel)\b",
        r"\b(?:als|ich bin) (?:eine? )?(?:ki|kunstliche intelligenz|sprachmodell|ki sprachmodell|ki assistent)\b",
        r"\b(?:previous|prior|above|earlier) instructions (?:are|were|have been) (?:ignored|disregarded|overridden)\b",
        r"\b(?:i have|i ve) (?:ignored|disregarded|followed) (?:all |the |your |my )*(?:previous |prior |above )?instructions\b",
        r"\b(?:instrucoes|instrucciones|instructions|anweisungen) (?:anteriores|precedentes|vorherigen)? ?(?:ignoradas|ignorees|ignoriert)\b",
    )
)
_AT_THE_EDGE = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b(?:here (?:is|are|s)|below is) (?:the|a|an|your|all) (?:\w+ ){{0,4}}(?:{_TEXT})\b",
        rf"\b(?:aqui esta|segue|eis|a seguir esta) (?:abaixo )?(?:o|a|os|as|uma?) (?:\w+ ){{0,4}}(?:{_TEXT})\b",
        rf"\b(?:aqui (?:esta|tiene|tienes)|a continuacion (?:se muestra|esta)?) ?(?:el|la|los|las|una?) (?:\w+ ){{0,4}}(?:{_TEXT})\b",
        rf"\b(?:voici|ci dessous) (?:le|la|les|l|une?|votre) ?(?:\w+ ){{0,4}}(?:{_TEXT})\b",
        rf"\b(?:hier (?:ist|sind|folgt)) (?:der|die|das|eine?|ihre?) (?:\w+ ){{0,4}}(?:{_TEXT})\b",
        rf"\becco (?:il|la|le|lo|i|una?) (?:\w+ ){{0,4}}(?:{_TEXT})\b",
        rf"\b(?:cannot|can t|can not|could not|couldn t|unable to|not able to) (?:{_VERB}) (?:\w+ ){{0,5}}(?:{_SEEN}|request|that|this)\b",
        rf"\b(?:nao (?:consigo|posso|foi possivel|e possivel)) (?:{_VERB}) (?:\w+ ){{0,5}}(?:{_SEEN}|pedido|isso)\b",
        rf"\b(?:no (?:puedo|es posible|fue posible)) (?:{_VERB}) (?:\w+ ){{0,5}}(?:{_SEEN}|solicitud|eso)\b",
        rf"\b(?:je ne (?:peux|puis|parviens)) (?:pas )?(?:a )?(?:{_VERB}) (?:\w+ ){{0,5}}(?:{_SEEN}|demande)\b",
        rf"\b(?:kann|konnte) (?:ich )?(?:\w+ ){{0,5}}(?:{_SEEN}|anfrage) (?:leider )?nicht (?:{_VERB})\b",
        rf"\bnon (?:posso|riesco a) (?:{_VERB}) (?:\w+ ){{0,5}}(?:{_SEEN}|richiesta)\b",
        rf"\b(?:the|this) (?:provided |given |attached )?(?:{_SEEN}) (?:shows|contains|depicts|appears to|seems to|is too|is blank|does not contain)\b",
        rf"\b(?:a|esta|o|este) (?:{_SEEN}) (?:fornecid[oa] |anexad[oa] )?(?:mostra|contem|apresenta|parece|esta em branco)\b",
        rf"\b(?:la|esta|el|este|l|cette|ce|das|dieses|die) ?(?:{_SEEN}) (?:muestra|contiene|parece|montre|contient|semble|zeigt|enthalt|scheint|mostra)\b",
        r"\bno (?:readable |legible |visible |discernible )?text (?:is |was |could be )?(?:visible|found|detected|present|extracted)\b",
        r"\blet me know if you (?:need|want|would like|d like) (?:\w+ ){0,6}(?:format|transcri\w+|extract\w*|translat\w+|summar\w+|adjust\w*|assistance)\b",
        r"^(?:sure|certainly|of course|absolutely|claro|com certeza|por supuesto|bien sur|naturlich|certamente) (?:i|here|thing|eu|aqui|segue|voici|je|hier|ich|ecco)\b",
    )
)


def _words_of(text: str) -> str:
    """A text without case, accents and punctuation, in single spaces."""
    return " ".join(_WORD.findall(plain(text)))


def leaked(answer: str, prompt: str, on_page: str) -> bool:
    """Whether the prompt, a distinctive part of it, or a mark of a chat template came back, and CPU OCR (`on_page`) did not read it there."""
    if any(mark[0].casefold().strip() not in on_page.casefold() for mark in _MARKS.finditer(answer)):
        return True
    asked, said, seen = _words_of(prompt).split(), _words_of(answer), _words_of(on_page)
    if len(asked) < _FRAGMENT:
        # Two or three words may stand on any page, but an answer that opens with them all has only repeated them.
        whole = " ".join(asked)
        return len(asked) > 1 and f"{said} ".startswith(f"{whole} ") and f" {whole} " not in f" {seen} "
    on_the_page = set(_fragments(seen.split()))
    fragments = set(_fragments(asked)) - on_the_page
    return any(fragment in fragments for fragment in _fragments(said.split()))


def talks(answer: str, on_page: str) -> bool:
    """Whether the model speaks for itself (refuses, announces, describes, obeys) in words that CPU OCR (`on_page`) did not read."""
    said = _words_of(answer)
    seen = set(_words_of(on_page).split())
    edges = [said] if len(said) <= 2 * _EDGE else [said[:_EDGE], said[-_EDGE:]]
    found = [match[0] for pattern in _ANYWHERE for match in pattern.finditer(said)]
    found += [match[0] for pattern in _AT_THE_EDGE for edge in edges for match in pattern.finditer(edge)]
    return any(not _stands_there(sentence, seen) for sentence in found)


def _stands_there(sentence: str, seen: set[str]) -> bool:
    words = [word for word in sentence.split() if len(word) > _LONGER] or sentence.split()
    return sum(word in seen for word in words) >= _READ * len(words)


def _fragments(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + _FRAGMENT]) for at in range(len(words) - _FRAGMENT + 1))
