"""Subjects match the filters of their streams and consumers."""

from hypothesis import given
from hypothesis import strategies as st

from libs.bus import stream_configs, subjects

TOKENS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
SHARDS = st.integers(0, 63)


def matches(subject: str, pattern: str) -> bool:
    have, want = subject.split("."), pattern.split(".")
    if want[-1] == ">":
        return len(have) >= len(want) and all(w in ("*", h) for h, w in zip(have, want[:-1], strict=False))
    return len(have) == len(want) and all(w in ("*", h) for h, w in zip(have, want, strict=True))


@given(SHARDS, TOKENS, TOKENS, TOKENS)
def test_a_due_check_matches_the_filter_of_its_prober(shard: int, location: str, kind: str, monitor: str) -> None:
    pattern = subjects.due_filter(location, kind)
    assert matches(subjects.due(shard, location, kind, monitor), pattern)
    assert matches(subjects.recheck_due(shard, location, kind, monitor), pattern)


@given(SHARDS, TOKENS, TOKENS, TOKENS, TOKENS)
def test_a_due_check_matches_no_other_filter(shard: int, a: str, b: str, kind: str, monitor: str) -> None:
    pattern = subjects.due_filter(a, kind)
    assert matches(subjects.due(shard, b, kind, monitor), pattern) is (a == b)


@given(SHARDS, TOKENS, TOKENS, TOKENS)
def test_a_schedule_is_never_delivered_as_a_check(shard: int, location: str, kind: str, monitor: str) -> None:
    pattern = subjects.due_filter(location, kind)
    assert not matches(subjects.schedule(shard, location, monitor), pattern)
    assert not matches(subjects.recheck_schedule(shard, location, monitor), pattern)


@given(TOKENS, TOKENS, TOKENS, TOKENS)
def test_each_subject_belongs_to_one_stream(tenant: str, location: str, kind: str, monitor: str) -> None:
    homes = {
        subjects.due(0, location, kind, monitor): stream_configs.checks_stream(),
        subjects.schedule(0, location, monitor): stream_configs.checks_stream(),
        subjects.result(tenant, location, kind, monitor): stream_configs.results_stream(1),
        subjects.event(tenant, kind, monitor): stream_configs.events_stream(),
        subjects.dead_letter(subjects.RESULTS): stream_configs.dead_letters_stream(),
    }
    for subject, home in homes.items():
        for stream in (
            stream_configs.checks_stream(),
            stream_configs.results_stream(1),
            stream_configs.events_stream(),
            stream_configs.dead_letters_stream(),
        ):
            taken = any(matches(subject, pattern) for pattern in stream.subjects or [])
            assert taken is (stream.name == home.name)


@given(st.text(max_size=80))
def test_a_token_never_changes_the_number_of_tokens_of_a_subject(text: str) -> None:
    if subjects.is_token(text):
        assert not set(text) & set(".*> \t\r\n")
        assert 1 <= len(text) <= 64
