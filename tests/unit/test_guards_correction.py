"""What a language model may mend in a text that CPU OCR read, and that a sign of a number, a date or a code never changes, whatever it answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escriba.document import Block, BoundingBox, Evidence, Line, Page, Table, Word
from escriba.escalation import wants_correction
from escriba.guards.correction import Change, corrected, may_change, protected
from escriba.policy import Policy, Vision
from escriba.stages.correct_text import applied
from escriba.vision import Answer, FinishReason, Verdict

ENGINE, SURE, DOUBT = "rapidocr", 0.99, 0.6
WANTED = Policy(vision=Vision(correction=True))


def line(text: str, row: int = 0) -> Line:
    """Words of ten points a letter; those before a tilde are in doubt."""
    words, x = [], 0.0
    for token in text.split():
        bare = token.replace("~", "")
        words.append(Word(bare, BoundingBox(x, 20.0 * row, x + 10 * len(bare), 20.0 * row + 12), DOUBT if "~" in token else SURE))
        x += 10 * len(bare) + 5
    return Line.of(words)


def read(*texts: str) -> tuple[Line, ...]:
    return tuple(line(text, row) for row, text in enumerate(texts))


def told(*texts: str, finish: FinishReason = "stop") -> Answer:
    return Answer(text="\n".join(f"{n}: {text}" for n, text in enumerate(texts, 1)), finish=finish, model="m")


def page(lines: tuple[Line, ...], *, table: bool = False) -> Page:
    blocks = tuple(Block("paragraph", each.box, (each,), table=Table("<table></table>") if table else None) for each in lines)
    return Page(1, 600, 800, "ocr", ENGINE, "DONE", confidence=0.9, blocks=blocks, evidence=Evidence(ink=0.05, sure=0.9))


def mended(before: str, after: str) -> str:
    """The refusal's name, or the text that comes of it."""
    rest = "e o resto da carta fica como estava"
    lines = read(before, rest)
    found = corrected(lines, told(after, rest), ENGINE)
    if isinstance(found, Verdict):
        return found.refused
    return applied(page(lines), found, "m").blocks[0].text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("A mercadoria foi conferlda~ ontem", "A mercadoria foi conferida ontem"),
        ("Recebemos a irnportância~ de 1.234,56 EUR em 12/03/2026", "Recebemos a importância de 1.234,56 EUR em 12/03/2026"),
        ("A Direcçao~ do Serviço", "A Direcção do Serviço"),
        ("NIF 501964843 da Câmara Municipa1 de Evora~", "NIF 501964843 da Câmara Municipa1 de Évora"),
        ("pagamento por trans~ ferência~ bancária", "pagamento por transferência bancária"),
        ("o valor dacasa~ é nosso", "o valor da casa é nosso"),
        ("IBAN PT50000201231234567890154 do fornccedor~", "IBAN PT50000201231234567890154 do fornecedor"),
        ("nada a mudar aqui~", "nada a mudar aqui"),
    ],
)
def test_slips_of_letters_in_words_in_doubt_are_mended(before: str, after: str) -> None:
    """One letter for another, accents, words that were torn apart or run together."""
    assert mended(before, after) == after


@pytest.mark.parametrize(
    ("before", "after", "guard"),
    [
        ("Total 1.234,56~ a pagar", "Total 1.284,56 a pagar", "protected"),
        ("Total 1.234,56~ a pagar", "Total 1234,56 a pagar", "protected"),
        ("em 12/03/2026~ por escrito", "em 12-03-2026 por escrito", "protected"),
        ("no dia 3 de rnarço~ corrente", "no dia 3 de março corrente", "protected"),
        ("no dia 3 de março~ corrente", "no dia 3 de maio corrente", "protected"),
        ("a quantia de seiscentos~ euros", "a quantia de setecentos euros", "protected"),
        ("referência ABCD~ do processo", "referência ABCO do processo", "protected"),
        ("IBAN PT5O~ do fornecedor", "IBAN PT50 do fornecedor", "protected"),
        ("escreva a ana@exemplo.pt~ hoje", "escreva a ana@exempla.pt hoje", "protected"),
        ("veja www.exernplo.pt~ hoje", "veja www.exemplo.pt hoje", "protected"),
        ("o lote 12b-c~ chegou", "o lote 13b-c chegou", "protected"),
        ("o lote 12b-c~ chegou", "o lote 12b-e chegou", "protected"),
        ("artigo l~ do código", "artigo 1 do código", "protected"),
        ("ll~ cópias da acta", "11 cópias da acta", "protected"),
        ("o preço ern~ € corrente~", "o preço em $ corrente", "protected"),
        ("vale 12 ou 13 conforrne~ o caso", "vale 13 ou 12 conforme o caso", "protected"),
        ("A mercadoria foi conferida ontem~", "A mercadoria foi conferida hoje", "too_far"),
        ("o réu é o~ culpado", "o réu é a culpado", "sure"),
        ("o contrato foi assinado hoje", "o contrato foi assinada hoje", "sure"),
        ("por trans~ ferência bancária", "por transferência bancária", "sure"),
        ("o contrato foi assinado~", "o contrato não foi assinado", "added"),
        ("o contrato não foi assinado~", "o contrato foi assinado", "added"),
        ("o contrato foi assinado~", "", "added"),
        ("o contrato~ foi~ assinado~", "o contrato foi não assinado", "added"),
        ("valor dacasa~ paga", "valor da caça paga", "added"),
        ("fica sern~ efeito", "fica com efeito", "too_far"),
        ("fica sern~ efeito", "fica se\u200bm efeito", "too_far"),
        ("prirneiro~ sernpre~ tarnbém~ hornem~ tern~", "primeiro sempre também homem tem", "protected"),
        ("carnpo~ sernpre~ tarnbém~ hornem~ cornum~", "campo sempre também homem comum", "too_many"),
    ],
)
def test_all_else_refuses_the_whole(before: str, after: str, guard: str) -> None:
    """By the name of what the answer did; its sentence says what, and never quotes the page."""
    assert mended(before, after) == guard


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Está tudo correcto.",
        "1: um dois",
        "1: um dois\n2: tres quatro\n3: cinco",
        "2: tres quatro\n1: um dois",
        "1: um dois\n\n3: tres quatro",
        "Segue o texto:\n1: um dois\n2: tres quatro",
        "1: um dois\n2: tres quatro" + " x" * 5000,
    ],
)
def test_other_lines_than_those_asked_about_are_refused(answer: str) -> None:
    """Too few, too many, in another order, with talk around them, or without an end."""
    found = corrected(read("um dois", "tres quatro"), Answer(text=answer, finish="stop", model="m"), ENGINE)
    assert isinstance(found, Verdict)
    assert found.refused == "other_lines"


def test_an_answer_that_broke_off_is_refused_and_fences_are_not() -> None:
    """Half a page corrected would be a page of two minds."""
    lines = read("a conta conferlda~ por nós")
    broken = corrected(lines, told("a conta conferida por nós", finish="length"), ENGINE)
    assert isinstance(broken, Verdict)
    assert broken.refused == "unfinished"
    fenced = corrected(lines, Answer(text="```text\n1: a conta conferida por nós\r\n```\n", finish="stop", model="m"), ENGINE)
    assert fenced == (Change(0, 2, 1, ("conferida",)),)


def test_boxes_and_confidences_stay_those_of_the_engine() -> None:
    """Of words put together the box is around both; of words told apart each has its part of the one."""
    lines = read("por trans~ ferência~ bancária", "o valor dacasa~ é nosso e de mais ninguém até ao fim")
    found = corrected(lines, told("por transferência bancária", "o valor da casa é nosso e de mais ninguém até ao fim"), ENGINE)
    assert not isinstance(found, Verdict)
    after = applied(page(lines), found, "m")
    joined = after.blocks[0].lines[0].words[1]
    assert (joined.text, joined.confidence) == ("transferência", DOUBT)
    assert joined.box == BoundingBox.around(word.box for word in lines[0].words[1:3])
    first, second = after.blocks[1].lines[0].words[2:4]
    whole = lines[1].words[2].box
    assert (first.text, second.text, first.box.x0, second.box.x1) == ("da", "casa", whole.x0, whole.x1)
    assert first.box.x1 == second.box.x0 == whole.x0 + whole.width / 3
    assert [(c.before, c.after, c.box) for c in after.corrections or ()] == [
        ("trans ferência", "transferência", joined.box),
        ("dacasa", "da casa", whole),
    ]
    assert (after.corrected_by, after.engine, after.confidence) == ("m", ENGINE, 0.9)


def test_a_page_wants_correction_when_it_is_good_but_for_some_words() -> None:
    """Not by default, not when it is hard, not when nothing in doubt may change, and never for a table's words or a page of another kind."""
    good = page(
        read("a conta conferlda~ foi entregue ontem a todos os presentes na sala", "e paga por transferência bancária no mesmo dia")
    )
    assert wants_correction(good, WANTED)
    assert not wants_correction(good, Policy())
    assert not wants_correction(good, Policy(vision=Vision(correction=True, enabled=False)))
    assert not wants_correction(page(read("a~ conta~ conferlda~ ontem~")), WANTED)
    assert not wants_correction(page(read("a conta foi entregue ontem a todos os presentes na sala no dia 12/03/2026~")), WANTED)
    assert not wants_correction(page((good.blocks[0].lines[0],), table=True), WANTED)
    assert not wants_correction(page(()), WANTED)


TOKENS = st.sampled_from(
    [
        "12/03/2026",
        "1.234,56",
        "PT50",
        "NIF",
        "maio",
        "€",
        "ana@exemplo.pt",
        "Total",
        "conferlda",
        "rnarço",
        "da",
        "casa",
        "O",
        "4711",
        "12b-c",
        "ll",
    ]
)
TEXTS = st.lists(TOKENS, min_size=4, max_size=9).map(" ".join)


@given(st.lists(TEXTS, min_size=1, max_size=3), st.data())
def test_whatever_is_answered_no_sign_of_a_protected_word_changes(texts: list[str], data: st.DataObject) -> None:
    """All words in doubt; the answer is drawn from words like the page's own with letters swapped, or is no answer at all."""
    lines = read(*(" ".join(f"{token}~" for token in text.split()) for text in texts))
    near = [_shaken(text, data) for text in texts]
    answer = told(*near) if data.draw(st.integers(0, 9)) else Answer(text=data.draw(st.text()), finish="stop", model="m")
    found = corrected(lines, answer, ENGINE)
    if isinstance(found, Verdict):
        return
    after = applied(page(lines), found, "m")
    for old, block in zip(lines, after.blocks, strict=True):
        new = block.lines[0]
        assert [w.text for w in old.words if protected(w.text)] == [w.text for w in new.words if protected(w.text)]
        assert _numbered(old) == _numbered(new)
        assert old.text.split().count("maio") == new.text.split().count("maio")
        assert BoundingBox.around(w.box for w in new.words) == old.box


def _numbered(line: Line) -> list[str]:
    return [word.text for word in line.words if any(map(str.isnumeric, word.text))]


def _shaken(text: str, data: st.DataObject) -> str:
    """The text with some signs exchanged, and perhaps a word more, less or elsewhere."""
    tokens = text.split()
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.integers(0, len(tokens) - 1))
        at = data.draw(st.integers(0, len(tokens[place]) - 1))
        tokens[place] = tokens[place][:at] + data.draw(st.sampled_from("0123456789lIOoabmn/.€ ")) + tokens[place][at + 1 :]
        tokens = " ".join(tokens).split() or ["x"]
    return " ".join(tokens)


@given(st.text(max_size=12), st.floats(0, 1))
def test_only_words_of_letters_in_doubt_may_change(text: str, confidence: float) -> None:
    """One that is not in doubt, or that has a digit, never may."""
    word = Word(text, BoundingBox(0, 0, 1, 1), confidence)
    assert not (may_change(word, ENGINE) and (confidence >= 0.95 or any(c.isnumeric() for c in text) or not any(map(str.isalpha, text))))
    assert not may_change(Word(text, word.box, None), ENGINE)
