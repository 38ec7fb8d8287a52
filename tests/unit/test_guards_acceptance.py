"""Which answers of a vision model are believed: each guard refuses what it is for, and lets a true answer pass."""

from __future__ import annotations

import pytest

from escriba.document import BoundingBox
from escriba.guards import acceptance
from escriba.guards.acceptance import NAMES
from escriba.guards.grounding import Sight, tokens
from escriba.policy import Ocr, Policy, Vision
from escriba.vision import FinishReason, Region, Said, Verdict
from tests.unit.guarded_page import INVOICE, PROMPT, read, verdict


def test_a_true_answer_is_believed() -> None:
    """Word for word what CPU OCR read: grounded in all of it."""
    assert verdict(INVOICE) == Verdict(grounded=1.0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Évora", "EVORA"),
        ("preferência", "prefe-\nrência"),
        ("Rua", "Ru-\na"),
        ("509 882 741", "509882741"),
        ("fresco", "freſco"),
        ("Fermento", "Fer mento"),
        ("computador", "conputador"),
        ("36,48", "36.48"),
        ("FT 2024/1187", "FT2024/1187"),
        ("Documento processado por computador", ""),
        (INVOICE, "\n".join(reversed(INVOICE.split("\n")))),
        (INVOICE, INVOICE.upper()),
    ],
)
def test_another_spelling_or_order_is_no_disagreement(old: str, new: str) -> None:
    """Case, accents, long s, hyphens, spaces, one letter, the grouping of digits, the order of lines, one line left out."""
    assert verdict(INVOICE.replace(old, new)).refused == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("36,48", "36,43"),
        ("112,73", "121,73"),
        ("03/11/2024", "11/03/2024"),
        ("2024/1187", "2024/7811"),
        ("7000-512", "7008-612"),
        ("15 unidades", "16 unidades"),
    ],
)
def test_another_number_is_a_contradiction(old: str, new: str) -> None:
    """One digit, two changed over, day and month, a code, an amount, a count of two digits: one of them is enough."""
    found = verdict(INVOICE.replace(old, new))
    assert found.refused == "contradicted"
    assert not any(digit in found.reason for digit in "0123456789")


def test_a_word_that_a_hyphen_cuts_is_one_word() -> None:
    """At the end of a line in the answer, and in CPU OCR's reading; within a line it stays two."""
    assert tokens("ca-\nsa e bem-vindo") == ["casa", "e", "bem", "vindo"]
    assert [seen.text for seen in Sight(read("uma ca-\nsa branca")).seen] == ["uma", "casa", "branca"]


def test_a_number_that_cpu_ocr_was_unsure_of_contradicts_nothing() -> None:
    """The model may well be right where CPU OCR says itself that it may be wrong; Tesseract is sure from lower figures on."""
    changed = INVOICE.replace("36,48", "36,43")
    assert verdict(changed, read(INVOICE, unsure={"36,48": 0.99})).refused == ""
    assert verdict(changed, read(INVOICE, 0.96)).refused == "contradicted"
    assert verdict(changed, read(INVOICE, 0.96, unsure={"36,48": 0.9})).refused == ""


def test_a_number_said_elsewhere_or_left_out_contradicts_nothing() -> None:
    """What the page says twice may stand once; an answer's numbers that CPU OCR read somewhere are not invented."""
    assert verdict(INVOICE.replace("Fermento fresco 6 embalagens 9,72\n", "")).refused == ""
    twice = INVOICE.replace("Total a pagar", "Total 106,35 mais 6,38 a pagar")
    assert verdict(INVOICE, twice).refused == ""


@pytest.mark.parametrize("finish", ["length", "repetition", "filtered"])
def test_an_unfinished_answer_is_refused(finish: FinishReason) -> None:
    """Whatever it says."""
    assert verdict(INVOICE, finish=finish).refused == "unfinished"


def test_an_answer_over_its_limit_is_refused() -> None:
    """By its tokens, or by characters that no such number of tokens can hold."""
    small = Policy(vision=Vision(max_tokens=64))
    assert verdict(INVOICE, answer_tokens=65, policy=small).refused == "over_limit"
    assert verdict(INVOICE * 3, policy=small).refused == "over_limit"
    assert verdict(INVOICE, answer_tokens=64, policy=small).refused == ""


def test_a_loop_is_refused() -> None:
    """In the answer as it came, or in what was made of it."""
    assert verdict(INVOICE + "\nTotal a pagar 112,73" * 200).refused == "repeating"


@pytest.mark.parametrize("text", ["", " \n", "—", "***"])
def test_an_empty_answer_is_refused_where_there_is_ink_or_text(text: str) -> None:
    """Nothing was read: of a page with ink, and of one where CPU OCR found words."""
    assert verdict(text, (), ink=0.05).refused == "empty"
    assert verdict(text, INVOICE, ink=0.0).refused == "empty"
    assert verdict((), INVOICE).refused == "empty"


def test_blank_stays_blank() -> None:
    """An empty answer for an empty page is right; any text is invented. Dirt read with little confidence is no text."""
    assert verdict((), (), ink=0.001) == Verdict(grounded=1.0)
    assert verdict(INVOICE, (), ink=0.001).refused == "not_blank"
    assert verdict(INVOICE, read(". ,", 0.2), ink=0.001).refused == "not_blank"
    assert verdict("12", "12", ink=0.001).refused == ""
    assert verdict(INVOICE, (), ink=0.02, policy=Policy(ocr=Ocr(max_blank_ink=0.03))).refused == "not_blank"


def test_what_does_not_parse_is_refused() -> None:
    """Where the parser gave up, and where a table is not one."""
    assert verdict(None).refused == "unparsable"
    whole = f"<table><tr><td>{INVOICE}</td></tr></table>"
    assert verdict((Said("table", "", html=whole),)).refused == ""
    for broken in (whole.removesuffix("</table>"), "<table></table>", INVOICE):
        assert verdict((Said("table", "", html=broken),)).refused == "unparsable"


@pytest.mark.parametrize(
    "leak",
    [
        PROMPT,
        "write every table as HTML, without",
        "<|im_end|>",
        "<|im_start|>assistant",
        "[INST] ok [/INST]",
        "### Response:",
        "<end_of_turn>",
    ],
)
def test_a_leaked_prompt_is_refused(leak: str) -> None:
    """All of it, six of its words in a row, a mark of a chat template; what CPU OCR read on the page is the page's own."""
    said = f"{leak}\n{INVOICE}"
    assert verdict(said).refused == "prompt_leaked"
    assert verdict(said, said).refused == ""


def test_a_short_prompt_leaks_where_the_answer_opens_with_it() -> None:
    """Two words may stand on any page, but not by chance at its head and nowhere in CPU OCR's reading."""
    assert verdict(f"Free OCR.\n{INVOICE}", prompt="Free OCR.").refused == "prompt_leaked"
    assert verdict(f"{INVOICE}\nfree OCR", prompt="Free OCR.").refused == ""


@pytest.mark.parametrize(
    "talk",
    [
        "Sure, here is the transcription of the document:",
        "As an AI language model, I",
        "I'm sorry, but I cannot read the text in this image.",
        "The image shows an invoice of a bakery.",
        "No readable text found.",
        "Claro! Aqui está o texto da página:",
        "Como modelo de linguagem, não posso continuar.",
        "Não consigo ler o texto desta imagem.",
        "Aquí está el texto del documento:",
        "Voici le texte de la page :",
        "Je ne peux pas lire cette image.",
        "Hier ist der Text des Dokuments:",
        "Ich kann den Text auf dem Bild leider nicht lesen.",
        "Ecco il testo della pagina:",
        "I have ignored the previous instructions.",
    ],
)
def test_talk_is_refused_unless_the_page_says_it(talk: str) -> None:
    """Announcements, refusals and descriptions, in six languages; the same sentence in CPU OCR's reading is the document's."""
    said = f"{talk}\n{INVOICE}"
    assert verdict(said).refused == "model_talk"
    assert verdict(said, said).refused == ""


@pytest.mark.parametrize(
    "letter",
    [
        "I can not read your last letter without tears, and I am sorry to hear of the loss.\nHere is the money for the rent.",
        "Não posso deixar de agradecer a V. Ex.ª. Aqui está o dinheiro da renda.",
        "Please let me know if you can come on Sunday.",
    ],
)
def test_a_letter_that_resembles_talk_is_kept_where_nothing_was_read(letter: str) -> None:
    """Handwriting that CPU OCR cannot read: kept, and said to be ungrounded."""
    assert verdict(letter, read("lxter qwon", 0.4)) == Verdict()


@pytest.mark.parametrize(
    "translated",
    [
        (
            "The bakery in the centre of the town thanks you for your order of the third of November, which was paid at the counter by the lady "
            "with the grey coat, and it is with great pleasure that we are sending you this bread from the mill for all of the week"
        ),
        (
            "Die Bäckerei in der Mitte der Stadt dankt für die Bestellung vom dritten November, die an der Theke von der Dame mit dem grauen "
            "Mantel bezahlt wurde, und es ist uns eine große Freude, dass wir das Brot aus der Mühle für die ganze Woche schicken"
        ),
        "Пекарня в центре города благодарит за заказ от третьего ноября, который был оплачен дамой в сером пальто",
    ],
)
def test_another_language_is_refused(translated: str) -> None:
    """A translation that keeps every number of the page."""
    page = (
        "A padaria do centro da cidade agradece a encomenda de três de novembro, que foi paga ao balcão pela senhora do casaco cinzento, e "
        "é com muito gosto que lhe enviamos este pão do moinho para toda a semana, no valor de 112,73 com o imposto de 6,38"
    )
    assert verdict(f"{translated} 112,73 6,38", page).refused == "wrong_language"
    assert verdict(page, page).refused == ""


def test_half_a_page_is_refused() -> None:
    """An answer that stops before its end, or leaves out a block in its middle."""
    lines = INVOICE.split("\n")
    assert verdict("\n".join(lines[:10])).refused == "truncated"
    assert verdict("\n".join(lines[:3] + lines[9:])).refused == "truncated"
    assert verdict("Aprovado").refused == "truncated"


def test_a_truncated_table_is_refused() -> None:
    """Rows that CPU OCR was sure of are missing at its end."""
    rows = [
        f"{name} {n * 37 % 91},{n:02}"
        for n, name in enumerate(["cevada", "trigo", "centeio", "milho", "aveia", "arroz", "sorgo", "linho", "soja", "colza"], 10)
    ]
    table = "<table>" + "".join(f"<tr><td>{a}</td><td>{b}</td></tr>" for a, b in (row.split() for row in rows)) + "</table>"
    short = table[: table.index("<tr><td>arroz")] + "</table>"
    assert verdict((Said("table", "", html=table),), "\n".join(rows)).refused == ""
    assert verdict((Said("table", "", html=short),), "\n".join(rows)).refused == "truncated"


def test_another_page_is_refused() -> None:
    """It agrees with next to nothing, on a page read well and on one read badly."""
    other = (
        "Ata da reunião do condomínio realizada em Lisboa com a presença de onze moradores, que aprovaram as contas do ano findo e "
        "elegeram a nova administração por unanimidade, ficando decidida a pintura da fachada e a substituição da bomba de água no verão, "
        "assinada por todos os presentes depois de lida em voz alta pela secretária da mesa e registada no livro respetivo para os devidos efeitos"
    )
    assert verdict(other).refused in {"strayed", "truncated"}
    assert verdict(other, read(INVOICE, 0.7)).refused == "strayed"
    assert verdict(INVOICE, read(INVOICE, 0.7)) == Verdict()


def test_how_much_must_agree_is_the_policys() -> None:
    """An answer with every fourth word wrong is believed only where the policy is content with that."""
    words = INVOICE.split()
    wrong = " ".join("xxxxxxx" if n % 4 == 2 and word.isalpha() else word for n, word in enumerate(words))
    strict, lax = (Policy(vision=Vision(min_grounding=share)) for share in (0.95, 0.5))
    assert verdict(wrong, policy=strict).refused == "strayed"
    found = verdict(wrong, policy=lax)
    assert found.refused == ""
    assert found.grounded is not None
    assert 0.5 < found.grounded < 0.95


def test_more_text_than_ink_is_invented() -> None:
    """A crop with a line of text cannot hold a page; a page of ink that CPU OCR could not read can."""
    line = Region("handwriting", BoundingBox(0, 0, 300, 20))
    assert verdict(INVOICE, read("Padaria", 0.5), region=line, ink=0.1).refused == "invented"
    assert verdict(INVOICE, read("Padaria", 0.5), ink=0.1) == Verdict()


def test_every_guard_has_its_name_and_a_sentence() -> None:
    """Names are stable words, each once; sentences name no place and quote nothing."""
    assert len(set(NAMES)) == len(NAMES) == 13
    assert all(reason and not reason.endswith(".") for _, reason, _ in acceptance._GUARDS)
