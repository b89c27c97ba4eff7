"""What a statement of SQL does, as PostgreSQL's own grammar reads it: one statement, its permissions, its tables.

Pure rules. What is not known here is refused: kinds of statements, clauses, expressions and functions are those that
are listed. So nothing passes that reaches outside the tables (files, other servers, settings, code), and no version of
PostgreSQL adds a way out. A database's own operators, casts, views and triggers are the organisation's to choose.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import postgast
from google.protobuf.message import DecodeError, Message

from hardpoint_executor.broker.denial import BrokerDenied, DenialCode, Quoting
from hardpoint_executor.broker.sql_functions import FUNCTIONS

MOST_BYTES: Final = 16 * 1024
"""Of a statement; the parser was tried with nests of every kind as deep as fit here."""
OWN_TABLE: Final = "hardpoint_effects"
"""Where effects are recorded: nobody's to read or write."""

PERMISSION_OF: Final = {
    "SelectStmt": "data.read",
    "InsertStmt": "data.write",
    "UpdateStmt": "data.write",
    "DeleteStmt": "data.delete",
    "TruncateStmt": "data.delete",
}
_CLAUSES = frozenset(
    """
    WithClause CommonTableExpr CTESearchClause CTECycleClause OnConflictClause InferClause IndexElem ReturningClause
    ReturningOption SortBy WindowDef GroupingSet GroupingFunc LockingClause Alias RangeVar RangeSubselect
    RangeFunction JoinExpr ResTarget MultiAssignRef ColumnDef Node List
    A_Expr A_Const A_Star A_Indices A_Indirection A_ArrayExpr BoolExpr BooleanTest NullTest CaseExpr CaseWhen
    CoalesceExpr MinMaxExpr CollateClause ColumnRef FuncCall NamedArgExpr ParamRef RowExpr SubLink SetToDefault
    TypeCast TypeName SQLValueFunction Integer Float Boolean String BitString
    """.split()  # noqa: SIM905
)
_CLOCKS = frozenset(range(1, 10))
"""CURRENT_DATE to LOCALTIMESTAMP; the others say who is logged in, and where."""
_CASCADE = postgast.pg_query_pb2.DropBehavior.Value("DROP_CASCADE")

# What PostgreSQL reads in `x.name` where x has no such column: the function `name` of x. A field is believed to be one
# where x is known to be a row, or by these names, which no function has.
_FIELDS = frozenset({"key", "value", "ordinality", "lexeme", "positions", "weights"}) | FUNCTIONS
_GIVE_ROWS = frozenset(f"{kind}_populate_{what}" for kind in ("json", "jsonb") for what in ("record", "recordset"))
"""Functions whose columns are those of a table, and which fail for anything but a row."""

Tables = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its first word, what it needs, and the tables that it names."""

    kind: str
    permissions: frozenset[str]
    tables: frozenset[str]

    @property
    def only_reads(self) -> bool:
        """Whether a read-only transaction is enough."""
        return self.permissions <= {"data.read"}


def read(sql: str) -> Statement:
    """Read a statement; raises BrokerDenied STATEMENT_REFUSED, INVALID_ARGUMENT for what is no SQL."""
    size = len(sql.encode(errors="replace"))
    if size > MOST_BYTES:
        raise _refused(f"the statement is larger than {MOST_BYTES} bytes", "pass values as parameters: $1, $2 ...")
    try:
        # The parser reads as far as a NUL, PostgreSQL might read on.
        if "\0" in sql:
            raise ValueError("it holds a character that no text may have")
        found = postgast.parse(sql).stmts
    except (postgast.PgQueryError, ValueError) as error:
        raise Quoting(
            DenialCode.INVALID_ARGUMENT, f"the statement is not SQL: {str(error)[:200]}", "correct the statement"
        ) from None
    except DecodeError:
        raise _refused("the statement is nested too deeply", "split it, or use WITH") from None
    if len(found) != 1:
        raise _refused(
            f"a call runs one statement, not {len(found)}", "make a call for each, and pass values as parameters: $1"
        )
    reading = _Reading()
    statement = _inner(found[0].stmt)
    reading.statement(statement, frozenset())
    reading.check_columns()
    kind = _name(statement)
    if kind == "SelectStmt":
        reading.permissions.add("data.read")
    return Statement(kind.removesuffix("Stmt").upper(), frozenset(reading.permissions), frozenset(reading.tables))


class _Reading:
    """What was found so far."""

    def __init__(self) -> None:
        self.permissions: set[str] = set()
        self.tables: set[str] = set()
        self._columns: set[tuple[str, str]] = set()
        self._of_functions: dict[str, frozenset[str]] = {}

    def check_columns(self) -> None:
        """Refuse a column of what a function gives that may be a function of it; to be asked at the end."""
        for place, name in self._columns:
            if place in self._of_functions and name not in self._of_functions[place]:
                raise _no_field(name)

    def statement(self, message: Message, known: frozenset[str]) -> None:
        """Read a statement, or one inside it; `known` are the names that an outer WITH gave to its queries."""
        kind = _name(message)
        if kind not in PERMISSION_OF:
            what = kind.removesuffix("Stmt").upper()
            raise _refused(f"{what} is no statement that a capability can run", "use SELECT, INSERT, UPDATE or DELETE")
        if kind != "SelectStmt":
            self.permissions.add(PERMISSION_OF[kind])
        fields = dict(_fields(message))
        for clause in fields.pop("with_clause", ()):
            known = self._with(clause, known)
        if kind == "TruncateStmt":
            self._truncate(message)
            return
        for target in fields.pop("relation", ()):
            self._table(target)
        if "returning_clause" in fields:
            self.permissions.add("data.read")
        for parts in fields.values():
            for part in parts:
                self._part(part, known)

    def _with(self, clause: Any, known: frozenset[str]) -> frozenset[str]:
        queries = [_inner(node) for node in clause.ctes]
        if clause.recursive:
            known |= {query.ctename for query in queries}
        for query in queries:
            self.statement(_inner(query.ctequery), known)
            known |= {query.ctename}
        return known

    def _truncate(self, message: Any) -> None:
        if message.behavior == _CASCADE:
            raise _refused("TRUNCATE with CASCADE empties tables that it does not name", "name each table")
        for table in message.relations:
            self._table(_inner(table))

    def _part(self, message: Any, known: frozenset[str]) -> None:
        kind = _name(message)
        if kind in PERMISSION_OF:
            self.statement(message, known)
            return
        if kind not in _CLAUSES:
            raise _refused(f"the statement has a part that no capability can use ({kind})", "write it in another way")
        match kind:
            case "RangeVar":
                self.permissions.add("data.read")
                if message.schemaname or message.catalogname or message.relname not in known:
                    self._table(message)
            case "LockingClause":
                return  # it names what FROM names
            case "FuncCall":
                _check_function(_texts(message.funcname))
            case "RangeFunction":
                self._range_function(message)
            case "ColumnRef":
                names = [node.string.sval for node in message.fields if node.WhichOneof("node") == "string"]
                if len(names) == len(message.fields) > 1:
                    self._columns.add((names[-2], names[-1]))
            case "A_Indirection":
                _check_fields(message)
            case "A_Expr":
                _check_operator(_texts(message.name))
            case "SubLink":
                _check_operator(_texts(message.oper_name))
            case "SortBy":
                _check_operator(_texts(message.use_op))
            case "SQLValueFunction" if message.op not in _CLOCKS:
                raise _refused("the statement asks who is logged in", "leave it out")
        for _, parts in _fields(message):
            for part in parts:
                self._part(part, known)

    def _range_function(self, message: Any) -> None:
        """Remember which columns are sure to be there of what a function in FROM gives, by the name that it has."""
        call = _inner(message.functions[0].list.items[0])
        of_call = _name(call) == "FuncCall"
        alias = message.alias.aliasname or (_texts(call.funcname)[-1] if of_call else "")
        if not alias:
            raise _refused("what stands in FROM has no name", "give it one with AS")
        if of_call and len(message.functions) == 1 and _texts(call.funcname)[-1] in _GIVE_ROWS:
            return
        defined = [*message.coldeflist, *(part for one in message.functions for part in one.list.items[1].list.items)]
        named = _texts(message.alias.colnames) or [alias]
        columns = _FIELDS.union(named, (part.column_def.colname for part in defined))
        # The same name may stand for two things in two places of a statement.
        self._of_functions[alias] = columns & self._of_functions.get(alias, columns)

    def _table(self, table: Any) -> None:
        if table.catalogname:
            raise _refused("the statement names a table of another database", "use schema.table")
        if "." in table.schemaname + table.relname:
            raise _refused("the name of a table holds a dot, which no list of tables can say", "give it another name")
        self.tables.add(".".join(filter(None, (table.schemaname, table.relname))))


def allowed_tables(setting: str) -> Tables:
    """Whether a table is one of a list such as `customers, sales.orders`; `*` is all but the system's."""
    names = {name.strip() for name in setting.split(",")} - {""}

    def is_allowed(table: str) -> bool:
        schema, _, name = table.rpartition(".")
        if name == OWN_TABLE:
            return False
        is_system = (schema or name).startswith("pg_") or schema == "information_schema"
        return table in names or ("*" in names and not is_system)

    return is_allowed


def _check_function(names: list[str]) -> None:
    *schema, name = names
    if schema not in ([], ["pg_catalog"]) or name not in FUNCTIONS:
        shown = ".".join(names)[:60]
        raise _refused(
            f"{shown} is no function that a capability can use",
            "use PostgreSQL's functions of texts, numbers, times, JSON, arrays and aggregates",
            function=shown,
        )


def _check_operator(names: list[str]) -> None:
    if len(names) > 1 and names[0] != "pg_catalog":
        raise _refused("the statement names an operator of a schema", "use the operator alone")


def _check_fields(message: Any) -> None:
    """Refuse a field of a value that may be a function of it."""
    value = _inner(message.arg)
    of_row = _name(value) == "FuncCall" and _texts(value.funcname)[-1] in _GIVE_ROWS
    for part in message.indirection[1 if of_row else 0 :]:
        if part.WhichOneof("node") == "string" and part.string.sval not in _FIELDS:
            raise _no_field(part.string.sval)


def _no_field(name: str) -> BrokerDenied:
    shown = name[:60]
    return _refused(
        f".{shown} of a value may be a field or a function, and {shown} is no function that a capability can use",
        f"read a field by to_jsonb(value) ->> '{shown}'",
        function=shown,
    )


def _fields(message: Message) -> Iterator[tuple[str, list[Any]]]:
    """The messages in a message, by field, without the wrapper of a node."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            yield field.name, [_inner(part) for part in (value if field.is_repeated else [value])]


def _inner(message: Any) -> Any:
    """What a node holds; an empty one, which stands for nothing in a list, is itself."""
    if _name(message) != "Node":
        return message
    held = message.WhichOneof("node")
    return getattr(message, held) if held else message


def _name(message: Message) -> str:
    return str(message.DESCRIPTOR.name)


def _texts(nodes: Any) -> list[str]:
    return [str(node.string.sval) for node in nodes]


def _refused(message: str, fix: str, **facts: str) -> BrokerDenied:
    return BrokerDenied(DenialCode.STATEMENT_REFUSED, message, fix, **facts)
