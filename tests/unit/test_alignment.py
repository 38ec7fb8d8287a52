"""What a vision model said is laid over what CPU OCR saw: boxes where somebody saw a word, honest estimates elsewhere, nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from escriba.document import Block, BoundingBox, Line, Word
from escriba.layout.alignment import aligned, inside, replaced
from escriba.vision import Parsed, Said

PAGE = BoundingBox(0, 0, 600, 800)


def line(text: str, y: float, *, x: float = 50, confidence: float = 0.9) -> Line:
    words = []
    for word in text.split():
        words.append(Word(word, BoundingBox(x, y, x + 8 * len(word), y + 10), confidence))
        x += 8 * (len(word) + 1)
    return Line.of(words)


def block(*lines: Line) -> Block:
    return Block(kind="paragraph", box=BoundingBox.around(one.box for one in lines), lines=lines)


def said(*texts: str) -> Parsed:
    return Parsed(tuple(Said("paragraph", text) for text in texts))


def words(blocks: tuple[Block, ...]) -> list[Word]:
    return [word for one in blocks for row in one.lines for word in row.words]


def test_words_that_agree_take_their_boxes() -> None:
    """Case, accents and punctuation apart; the text is the model's, the confidence the CPU's."""
    cpu = [block(line("fatura n 117", 100), line("total 12,50", 120))]
    [made] = aligned(said("Fatura Nº 117\nTotal: 12,50"), cpu, PAGE)
    assert [one.text for one in made.lines] == ["Fatura Nº 117", "Total: 12,50"]
    assert made.lines[0].words[0].box == cpu[0].lines[0].words[0].box
    assert made.lines[0].words[0].confidence == 0.9
    assert made.unaligned == ()


def test_words_read_otherwise_share_the_boxes_of_those_that_stood_there() -> None:
    """Two words for one misread: side by side in its box, in order, without the CPU's confidence."""
    cpu = [block(line("recebi a quanliadecem euros", 100))]
    [made] = aligned(said("recebi a quantia de cem euros"), cpu, PAGE)
    wrong = cpu[0].lines[0].words[2].box
    middle = made.lines[0].words[2:5]
    assert [word.text for word in middle] == ["quantia", "de", "cem"]
    assert all(wrong.x0 <= word.box.x0 <= word.box.x1 <= wrong.x1 + 0.01 for word in middle)
    assert [word.box.x0 for word in middle] == sorted(word.box.x0 for word in middle)
    assert {word.confidence for word in middle} == {None}
    assert made.unaligned == ()


def test_a_misread_word_is_found_by_its_letters() -> None:
    """Each in its own box, however many words are missing between them; confidence is only for what agrees."""
    cpu = [block(line("Aldyerley Grarge", 100)), block(line("Dea Dyerr", 200))]
    [made] = aligned(said("Alderley Grange, Wotton-under-Edge in January Dear Dyer"), cpu, PAGE)
    boxes = {word.text: word.box for word in words((made,))}
    assert boxes["Alderley"] == cpu[0].lines[0].words[0].box
    assert boxes["Dear"] == cpu[1].lines[0].words[0].box
    assert boxes["Dyer"] == cpu[1].lines[0].words[1].box
    assert {word.confidence for word in words((made,))} == {None}


def test_what_nobody_saw_is_flagged() -> None:
    """A line between two that were seen: an estimate between them, and the block says which words."""
    cpu = [block(line("first line", 100)), block(line("third line", 200))]
    [made] = aligned(said("first line\nscribbled remark here\nthird line"), cpu, PAGE)
    assert made.unaligned == ((2, 4),)
    assert all(PAGE.y0 <= word.box.y0 < word.box.y1 <= PAGE.y1 for word in words((made,)))
    [alone] = aligned(said("nothing was seen"), [], PAGE)
    assert alone.unaligned == ((0, 2),)


def test_another_order_is_found_too() -> None:
    """Words that stand alone on both sides are matched wherever they are."""
    cpu = [block(line("alpha beta", 100)), block(line("gamma delta", 200))]
    made = aligned(said("gamma delta", "alpha beta"), cpu, PAGE)
    assert [one.box.y0 for one in made] == [200, 100]


def test_a_table_keeps_its_words() -> None:
    """The HTML as it is, and its words with boxes."""
    html = "<table><tr><td>Item</td><td>Preço</td></tr></table>"
    [made] = aligned(Parsed((Said("table", "", html=html),)), [block(line("item preco", 50))], PAGE)
    assert made.table is not None
    assert made.table.html == html
    assert [word.text for word in words((made,))] == ["Item", "Preço"]


def test_a_crop_takes_the_place_of_what_stood_in_it() -> None:
    """The lines inside go, those above and below stay where they are, the better ones come between."""
    whole = block(line("above", 100), line("inside", 120), line("below", 140))
    box = BoundingBox(0, 115, 600, 135)
    better = block(line("better", 120))
    assert [one.text for one in replaced([whole], box, [better])] == ["above", "better", "below"]
    assert [one.text for one in inside([whole], box)] == ["inside"]
    other = block(line("far", 500))
    assert [one.text for one in replaced([other], box, [better])] == ["better", "far"]
    assert [one.text for one in replaced([whole, other], BoundingBox(0, 90, 600, 160), [better])] == ["better", "far"]


TOKENS = st.lists(st.sampled_from(["a", "b", "cc", "ddd", "1.234,56", "é", "—", "<b>"]), max_size=40)


@given(TOKENS, TOKENS, st.lists(st.integers(1, 5), max_size=8))
def test_nothing_is_lost_and_everything_stands_on_the_page(mine: list[str], theirs: list[str], lengths: list[int]) -> None:
    """Every word of the answer comes out once and in order, in a box inside the region."""
    cpu, rest, y = [], list(theirs), 10.0
    for length in [*lengths, 40]:
        if rest[:length]:
            cpu.append(block(line(" ".join(rest[:length]), y)))
            rest, y = rest[length:], y + 20
    made = aligned(said(" ".join(mine)), cpu, BoundingBox(0, 0, 3000, 1000))
    assert [word.text for word in words(made)] == " ".join(mine).split()
    for one in made:
        length = sum(len(row.words) for row in one.lines)
        assert all(0 <= first <= last < length for first, last in one.unaligned)
        for word in words((one,)):
            assert 0 <= word.box.x0 < word.box.x1 <= 3000
            assert 0 <= word.box.y0 < word.box.y1 <= 1000


@given(st.lists(st.integers(1, 60), min_size=1, max_size=200), st.floats(5, 600), st.floats(5, 800))
def test_a_place_that_is_invented_has_an_area_on_the_page(lengths: list[int], width: float, height: float) -> None:
    """Where nobody saw a word, however many come and however they fall at the ends of lines: a box that can be found, on the page."""
    region = BoundingBox(0, 0, round(width, 2), round(height, 2))
    placed = words(aligned(said(" ".join("x" * length for length in lengths)), [], region))
    assert len(placed) == len(lengths)
    for word in placed:
        assert region.x0 <= word.box.x0 <= word.box.x1 - 0.4 < word.box.x1 <= region.x1
        assert region.y0 <= word.box.y0 <= word.box.y1 - 0.4 < word.box.y1 <= region.y1


def test_a_word_at_the_end_of_a_line_keeps_half_its_place() -> None:
    """A page on which CPU OCR saw nothing: no word is squeezed into what a line has left, nor stands beyond the page's right edge."""
    text = "\n".join(["Laboratory note no. 7741", "The sample weighed 23.85 grams on 14/03/2025.", "Reference code: QX-90817-B"] * 2)
    placed = words(aligned(said(text), [], BoundingBox(0, 0, 446.4, 252)))
    letters = [word.box.width / len(word.text) for word in placed]
    assert min(letters) > 0.4 * max(letters)


def test_words_that_stood_on_nothing_are_widened() -> None:
    """CPU OCR's own box may be a stroke without an area: what is put in its place has one."""
    nothing = Line.of([Word("l", BoundingBox(600, 800, 600, 800), 0.2)])
    [made] = aligned(said("two words"), [block(nothing)], PAGE)
    for word in words((made,)):
        assert word.box.width > 0.4
        assert word.box.height > 0.4
        assert word.box.x1 <= PAGE.x1
        assert word.box.y1 <= PAGE.y1
