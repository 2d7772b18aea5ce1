"""Keys have numbers: one signs, the next is known before it does, those that signed are believed for a while."""

from datetime import timedelta

from scenario import BEGIN, Scenario, recorded

from domain.keyring import BELIEVED, STREAM, Keyring, RotateKeys


def keys() -> Scenario[Keyring]:
    return Scenario(Keyring(), STREAM, vo="")


def test_a_rotation_lets_the_next_key_sign() -> None:
    keys().when(RotateKeys(1)).then(Keyring.Rotated(2, 1))


def test_two_who_rotate_at_once_rotate_once() -> None:
    keys().given(Keyring.Rotated(2, 1)).when(RotateKeys(1)).then_nothing()


def test_the_current_key_comes_first_then_the_next_then_those_that_ended() -> None:
    story = keys().given(Keyring.Rotated(2, 1), Keyring.Rotated(3, 2))
    assert story.state.believed(BEGIN + timedelta(days=1)) == [3, 4, 2, 1]


def test_a_key_that_ended_is_believed_as_long_as_what_it_signed_may_live() -> None:
    state = Keyring().evolve(recorded(Keyring.Rotated(2, 1), STREAM))
    assert state.believed(BEGIN + BELIEVED) == [2, 3, 1]
    assert state.believed(BEGIN + BELIEVED + timedelta(seconds=2)) == [2, 3]


def test_a_key_in_wrong_hands_is_believed_no_more() -> None:
    story = keys().given(Keyring.Rotated(2, 1)).when(RotateKeys(2, at_once=True)).then(Keyring.Rotated(3, 2, True))
    assert story.state.believed(BEGIN) == [3, 4]
