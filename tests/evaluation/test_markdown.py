"""Tables and lists of the pages."""

from serjax.evaluation.markdown import bullets, table


def test_a_table_has_its_first_column_to_the_left_and_no_bar_in_a_cell():
    assert table(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | ---: |\n| x/y | 1 |"


def test_a_list_has_a_line_each():
    assert bullets(["a", "b"]) == "- a\n- b"
