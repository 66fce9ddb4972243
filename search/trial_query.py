"""A condition that a user wrote -> the rows of a table that meet it; and names of columns that users write."""

import ast
import re
from collections.abc import Sequence
from difflib import get_close_matches

import pandas as pd

from ae_model.errors import UserError

_EXAMPLE = "code_size <= 64 and init == 'pca'"
_PARTS = (
    *(ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd),
    *(ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn),
    # Not the power, which can take forever, and not & | ~, which bind otherwise than people expect.
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div),
    *(ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple),
)
"""What a condition may be made of. What is not here could run code."""
_EQUALITY = "whether something is equal is asked by =="
_BITWISE = (ast.BitAnd, ast.BitOr, ast.Invert)


def rows_where(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """The rows of a table that meet a condition.

    A condition is what `DataFrame.query` takes, as far as it consists of columns, numbers, texts, lists, comparisons,
    `in`, `and`, `or`, `not`, arithmetic and `COLUMN.isna()` or `COLUMN.notna()`: it can run no code. A number
    that is missing meets no comparison, nor its opposite, but is in no list; a text that is missing equals no text.

    Args:
        table: The table, whose columns have names that are Python's.
        where: The condition.

    Raises:
        UserError: If it is not such a condition, or names a column that is not there.

    Examples:
        >>> trials = pd.DataFrame({"init": ["pca", "random", "pca"], "code_size": [16, 32, 128]})
        >>> rows_where(trials, "code_size <= 64 and init == 'pca'")
          init  code_size
        0  pca         16
    """
    tree = _parsed(where)
    _check(tree, table)
    # Types that know what is missing: a NaN is not below 0.1, and `not` would find that it is above.
    known = {
        name: "Float64" if of == "float64" else "string"
        for name, of in table.dtypes.items()
        if of == "float64" or isinstance(of, pd.CategoricalDtype)
    }
    try:
        meets = table.astype(known).eval(ast.unparse(tree), engine="python")  # on one line, which pandas wants
    # As pandas says what does not go together, by whatever error it has for it; the condition itself can raise nothing.
    except Exception as error:
        raise _refused(f"{_quoted(where)} cannot be evaluated ({error})") from error
    if not isinstance(meets, pd.Series) or not pd.api.types.is_bool_dtype(meets.dtype):
        raise _refused(f"{_quoted(where)} is a value, and no condition")
    return table[meets.astype("boolean").fillna(False).to_numpy(bool)]


def check_column(name: str, names: Sequence[str], argument: str) -> None:
    """Refuse a name that is not a column's.

    Args:
        name: The name.
        names: The columns that there are.
        argument: The argument that the name was given as.

    Raises:
        UserError: If it is none of them; it says which comes closest.
    """
    if name not in names:
        known = _meant(name, names) or f"They are {', '.join(names)}."
        raise UserError(f"{argument} must be a column of trials.csv, but is {name!r}. {known}", argument=argument)


def _parsed(where: str) -> ast.Expression:
    try:
        return ast.parse(" ".join(where.split("\n")).strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = "an @ stands for a variable of a program" if "@" in where else getattr(error, "msg", str(error))
        why = _EQUALITY if re.search(r"(?<![=<>!])=(?!=)", where) else why
        raise _refused(f"{_quoted(where)} cannot be read ({why})") from error


def _check(tree: ast.Expression, table: pd.DataFrame) -> None:
    """Refuse what is not a condition on these columns, before any of it is evaluated."""
    names = [str(name) for name in table.columns]
    nodes: list[ast.AST] = [tree.body]
    while nodes:
        node = nodes.pop()
        if (column := _tested(node)) is not None:
            nodes.append(column)
            continue
        if isinstance(node, ast.Name) and node.id not in names:
            known = _meant(node.id, names) or f"A text stands in quotes. The columns are {', '.join(names)}."
            raise UserError(f"where names {node.id!r}, which is not a column. {known}", argument="where")
        if isinstance(node, ast.Compare) and any(ast.unparse(part) == "None" for part in node.comparators):
            raise _refused(
                f"{_quoted(ast.unparse(node))} compares with None; whether something is missing is asked by isna()"
            )
        if isinstance(node, ast.Call | ast.Attribute):
            raise _refused(f"{_quoted(ast.unparse(node))} is a call or an attribute, other than isna() and notna()")
        if any(isinstance(part, ast.Name | ast.Constant | ast.BinOp) for part in _joined(node)):
            raise _refused(f"{_quoted(ast.unparse(node))} joins what is no condition")
        parts = list(ast.iter_child_nodes(node))
        operators = [part for part in parts if not isinstance(part, ast.expr)]
        if not all(isinstance(part, _PARTS) for part in (node, *operators)) or (
            isinstance(node, ast.Constant) and not isinstance(node.value, bool | int | float | str)
        ):
            instead = "; write and, or, not" if any(isinstance(part, _BITWISE) for part in operators) else ""
            instead = f"; {_EQUALITY}" if any(isinstance(part, ast.Is | ast.IsNot) for part in operators) else instead
            raise _refused(f"{_quoted(ast.unparse(node))} cannot be part of it{instead}")
        nodes.extend(part for part in parts if isinstance(part, ast.expr))
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and len({_is_text(part, table) for part in _operands(node)} - {None}) > 1:
            raise _refused(f"{_quoted(ast.unparse(node))} compares a text with a number")


def _joined(node: ast.AST) -> list[ast.expr]:
    """What `and`, `or` and `not` stand between; of numbers pandas would take the bits."""
    match node:
        case ast.BoolOp(values=values):
            return values
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return [operand]
    return []


def _operands(node: ast.Compare) -> list[ast.expr]:
    """What is compared; of a list, what is in it."""
    sides = [node.left, *node.comparators]
    return [part for side in sides for part in (side.elts if isinstance(side, ast.List | ast.Tuple) else [side])]


def _is_text(node: ast.expr, table: pd.DataFrame) -> bool | None:
    """Whether a column or a value is a text, and not a number; None if it is something else."""
    match node:
        case ast.Name(id=name) if name in table:
            return not pd.api.types.is_numeric_dtype(table[name].dtype)
        case ast.Constant(value=value):
            return isinstance(value, str)
    return None


def _tested(node: ast.AST) -> ast.Name | None:
    """The column of `COLUMN.isna()` or `COLUMN.notna()`; None if it is something else."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name() as column, attr="isna" | "notna"), args=[], keywords=[]):
            return column
    return None


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:79] + "…")


def _meant(name: str, names: Sequence[str]) -> str:
    """A question for the columns that a name resembles or is a part of; empty if there is none."""
    parts = [column for column in names if name.lower() in column.split("_") or name.lower() == column.lower()]
    close = (get_close_matches(name.lower(), names) or parts)[:3]
    return f"Did you mean {' or '.join(close)}?" if close else ""


def _refused(what: str) -> UserError:
    return UserError(f'where must be a condition on columns, like "{_EXAMPLE}", but {what}.', argument="where")
