"""Lenders and the people who log in for them."""

from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Row, Select, insert, select, update

from server.store.tables import lenders, users

_hasher = PasswordHasher()
# Checked where the login is unknown, so that the answer takes as long as for a known one.
_nobody = _hasher.hash("nobody has this password")


@dataclass(frozen=True, slots=True)
class User:
    """Who is logged in, and for which lender."""

    id: int
    lender_id: int
    lender: str
    time_zone: str
    login: str
    locale: str


def lender_id_of(connection: Connection, name: str) -> int:
    """The lender's id; a new lender is added."""
    known = connection.scalar(select(lenders.c.id).where(lenders.c.name == name))
    if known is not None:
        return int(known)
    return int(connection.scalars(insert(lenders).values(name=name).returning(lenders.c.id)).one())


def put_user(connection: Connection, lender_id: int, login: str, password: str) -> None:
    """Add a user, or give a known one a new password. Raises ValueError where the login is another lender's."""
    known = connection.execute(select(users.c.id, users.c.lender_id).where(users.c.login == login)).first()
    digest = _hasher.hash(password)
    if known is None:
        connection.execute(insert(users).values(lender_id=lender_id, login=login, password_hash=digest))
    elif known.lender_id != lender_id:
        raise ValueError(f"the login {login!r} belongs to another lender")
    else:
        connection.execute(update(users).where(users.c.id == known.id).values(password_hash=digest))


def user_by_password(connection: Connection, login: str, password: str) -> User | None:
    """The user whose password this is, None where login or password are wrong."""
    row = connection.execute(_users().where(users.c.login == login)).first()
    try:
        _hasher.verify(_nobody if row is None else row.password_hash, password)
    except (VerificationError, InvalidHashError):
        return None
    return None if row is None else _user(row)


def user_by_id(connection: Connection, user_id: int) -> User | None:
    """The user of a session, None once removed or switched off."""
    row = connection.execute(_users().where(users.c.id == user_id)).first()
    return None if row is None else _user(row)


def set_locale(connection: Connection, user_id: int, locale: str) -> None:
    """Keep the language that the user chose."""
    connection.execute(update(users).where(users.c.id == user_id).values(locale=locale))


def _users() -> Select[Any]:
    return (
        select(users, lenders.c.name.label("lender"), lenders.c.time_zone)
        .join(lenders, lenders.c.id == users.c.lender_id)
        .where(users.c.active)
    )


def _user(row: Row[Any]) -> User:
    return User(row.id, row.lender_id, row.lender, row.time_zone, row.login, row.locale)
