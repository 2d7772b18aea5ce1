"""A refresh token is good once; a lost answer locks nobody out, and a stolen token ends the session."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from scenario import BEGIN, Scenario

from domain.errors import Code
from domain.session import GENERATIONS, EndSession, OpenSession, RefreshSession, Session, jti, session_of

ID = UUID("01a20e7a-42e4-7e68-8b88-0ca80bd70000")
FACTS: dict[str, Any] = {"how": "device", "subject": "s1", "name": "ann", "sub": "123", "group": "lhcb_user",
                         "until": BEGIN + timedelta(hours=1)}  # fmt: skip
OPENED = Session.Opened(ID, **FACTS)


def session() -> Scenario[Session]:
    return Scenario(Session(), ID)


def test_a_session_is_opened_once() -> None:
    session().when(OpenSession(ID, **FACTS)).then(OPENED).when(OpenSession(ID, **FACTS)).then_nothing()


def test_each_use_of_the_newest_token_makes_the_next_one() -> None:
    story = session().given(OPENED).when(RefreshSession(ID, 1, "r1")).then(Session.Refreshed(ID, 2, "r1"))
    story.when(RefreshSession(ID, 2, "r2")).then(Session.Refreshed(ID, 3, "r2"))


def test_the_same_request_again_gets_the_same_successor() -> None:
    story = session().given(OPENED, Session.Refreshed(ID, 2, "r1"))
    story.when(RefreshSession(ID, 1, "r1")).then_nothing()
    story.when(RefreshSession(ID, 1, "r2")).then_refused(Code.TOKEN_REUSED)
    story.when(RefreshSession(ID, 1)).then_refused(Code.TOKEN_REUSED)


def test_the_immediate_predecessor_is_good_for_a_short_grace() -> None:
    story = session().given(OPENED, Session.Refreshed(ID, 2))  # two seconds after BEGIN; commands come at BEGIN
    story.when(RefreshSession(ID, 1, grace=10)).then_nothing()
    story.given(Session.Refreshed(ID, 3))
    story.when(RefreshSession(ID, 1, grace=10)).then_refused(Code.TOKEN_REUSED)


def test_what_ended_stays_ended() -> None:
    story = session().given(OPENED).when(EndSession(ID, "logout")).then(Session.Ended(ID, "logout"))
    story.when(EndSession(ID, "logout")).then_nothing().when(RefreshSession(ID, 1)).then_refused(Code.TOKEN_REUSED)


def test_a_session_ends_with_its_time_however_often_it_was_refreshed() -> None:
    ended = Session.Opened(ID, **(FACTS | {"until": BEGIN}))
    session().given(ended).when(RefreshSession(ID, 1)).then_refused(Code.TOKEN_REUSED)


def test_a_token_of_the_legacy_exchange_is_good_again_and_again() -> None:
    story = session().given(Session.Opened(ID, **(FACTS | {"how": "legacy"})))
    story.when(RefreshSession(ID, 1)).then(Session.Refreshed(ID, 1))
    story.when(RefreshSession(ID, 1)).then(Session.Refreshed(ID, 1))
    story.given(Session.Ended(ID, "revoked")).when(RefreshSession(ID, 1)).then_refused(Code.TOKEN_REUSED)


def test_nobody_refreshes_what_was_never_opened() -> None:
    session().when(RefreshSession(ID, 1)).then_refused(Code.SESSION_UNKNOWN)


@given(st.integers(0, GENERATIONS - 1))
def test_a_token_names_its_session_and_its_number(generation: int) -> None:
    assert session_of(jti(ID, generation)) == (ID, generation)
    assert jti(ID, generation).version == 7
