"""The scores of the accuracy benchmark: what counts as right, found and in order."""

from benchmarks.text_scores import edit_distance, score_text


def test_lines_that_are_equal_are_exact_in_any_order() -> None:
    score = score_text(["one", "two", "three"], [["three", "one", "two"]], by_words=False)
    assert (score.exact, score.errors, score.error_rate) == (3, 0, 0.0)
    assert (score.neighbours, score.in_order) == (2, 1)


def test_missing_and_unasked_lines_are_errors() -> None:
    score = score_text(["one", "two"], [["one", "zzzz", "yyyyy"]], by_words=False)
    assert score.exact == 1
    assert score.errors == len("zzzz") + len("yyyyy")
    assert score.found == 1


def test_columns_that_are_read_across_are_not_in_order() -> None:
    columns = ["L0", "L1", "L2", "R0", "R1", "R2"]
    across = score_text(columns, [["L0", "R0", "L1", "R1", "L2", "R2"]], by_words=False)
    assert across.order == 0.0
    assert score_text(columns, [columns], by_words=False).order == 1.0


def test_cells_may_be_joined_where_words_are_compared() -> None:
    assert score_text(["Apples", "12"], [["Apples 12"]], by_words=True).exact == 2


def test_the_best_of_several_orders_counts() -> None:
    assert (
        score_text(["a1", "b2", "c3"], [["c3", "b2", "a1"], ["a1", "b2", "c3"]], by_words=False).order == 1.0
    )


def test_edit_distance_counts_each_change_once() -> None:
    assert [edit_distance(*pair) for pair in (("", "abc"), ("kitten", "sitting"), ("€5", "5"))] == [3, 3, 1]
