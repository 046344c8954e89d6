"""
Grants database rights: the migrating role owns every table; the operations' role reads and writes rows only.

If DATABASE_URL and MIGRATION_DATABASE_URL name the same user, both roles are one, and nothing is granted.
"""

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import InsufficientPrivilege

Connection = psycopg.Connection[Any]
VERSIONS = "schema_migrations"
# The tables, views and sequences that this role owns, without those of extensions.
_OWNED = """
SELECT n.nspname, c.relname, c.relkind = 'S'
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND pg_has_role(c.relowner, 'USAGE')
    AND n.nspname NOT LIKE 'pg\\_%%' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend AS d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'i'))
ORDER BY 1, 2
"""
_CHANGES_SCHEMA = """
SELECT rolsuper OR pg_has_role(rolname, current_user, 'MEMBER') FROM pg_roles WHERE rolname = %s
"""


class CannotGrant(Exception):
    """The operations' role could not be granted its rights; the message has one or two sentences with the remedy."""


def let_operate(connection: Connection, operations_url: str) -> str | None:
    """
    Grant the user of ``operations_url`` the operations' rights on all existing tables; run it after each migration.

    A missing role is created with that URL's password, if the connection's role may create roles.

    Returns:
        A warning if that user can change the schema nevertheless.

    Raises:
        CannotGrant: the role is missing and cannot be created here, or another role owns the tables.
    """
    named = conninfo_to_dict(operations_url)
    role = str(named.get("user") or "")
    if not role or role == connection.info.user:
        return None
    found = connection.execute(_CHANGES_SCHEMA, (role,)).fetchone()
    if found is None:
        _create(connection, role, str(named.get("password") or ""))
    _grant(connection, role, connection.execute(_OWNED).fetchall())
    return f"the role {role} can change the schema: give operations another role" if found and found[0] else None


def _create(connection: Connection, role: str, password: str) -> None:
    name = sql.Identifier(role)
    statement = sql.SQL("CREATE ROLE {} LOGIN").format(name)
    if password:  # sent as a hash: the statement may be logged
        hashed = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(hashed))
    try:
        connection.execute(statement)
    except InsufficientPrivilege:
        raise CannotGrant(
            f"the role {role} of DATABASE_URL does not exist, and {connection.info.user} may not create it: "
            f'create it as an administrator, CREATE ROLE "{role}" LOGIN PASSWORD …'
        ) from None


def _grant(connection: Connection, role: str, owned: Iterable[tuple[str, str, bool]]) -> None:
    to = sql.Identifier(role)
    statements = []
    for schema, name, is_sequence in owned:
        rights = "SELECT" if name == VERSIONS else "SELECT, INSERT, UPDATE, DELETE"
        kind, rights = ("SEQUENCE", "USAGE, SELECT") if is_sequence else ("TABLE", rights)
        about = {"rights": sql.SQL(rights), "kind": sql.SQL(kind), "name": sql.Identifier(schema, name), "to": to}
        statements.append(sql.SQL("GRANT {rights} ON {kind} {name} TO {to}").format(**about))
    schemas = sorted({schema for schema, _, _ in owned})
    statements += [sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(one), to) for one in schemas]
    try:
        with connection.transaction():
            connection.execute(sql.SQL("; ").join(statements))
    except InsufficientPrivilege as refused:
        raise CannotGrant(
            f"{role} could not be granted the rights that operations need: {refused}".splitlines()[0]
        ) from None
