from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.requests.errors import ErrorCode, RequestError
from libs.store.ingest.history import ResultCursor
from services.results import cursors


@given(st.datetimes(timezones=st.just(UTC)), st.text(max_size=64))
def test_a_cursor_leads_back_to_its_place(tick_at: datetime, location: str) -> None:
    place = ResultCursor(tick_at, location)
    assert cursors.decode(cursors.encode(place), ResultCursor) == place


@given(st.text(max_size=500))
def test_any_other_text_is_refused_by_the_name_of_the_field(text: str) -> None:
    with pytest.raises(RequestError) as refused:
        cursors.decode(text, ResultCursor)
    assert (refused.value.info.code, refused.value.info.field) == (ErrorCode.INVALID, "cursor")


def test_a_cursor_without_a_time_zone_is_refused() -> None:
    forged = cursors.encode(msgspec.defstruct("Forged", ["tick_at", "location"])("2026-01-01T00:00:00", "a"))
    with pytest.raises(RequestError):
        cursors.decode(forged, ResultCursor)


def test_the_last_page_has_no_cursor() -> None:
    places = [ResultCursor(datetime(2026, 1, day, tzinfo=UTC)) for day in (3, 2, 1)]
    page = cursors.paginate(places, 2, lambda place: place)
    assert page.items == places[:2]
    assert page.next_cursor == cursors.encode(places[1])
    assert cursors.paginate(places, 3, lambda place: place).next_cursor is None


@given(st.lists(st.integers(1, 400_000), min_size=1, max_size=12), st.integers(1, 11))
def test_pages_of_large_items_fit_into_a_message_and_skip_nothing(sizes: list[int], limit: int) -> None:
    items = [str(number).rjust(size) for number, size in enumerate(sizes)]
    page = cursors.paginate(items, limit, lambda text: ResultCursor(datetime(2026, 1, 1, tzinfo=UTC), text.strip()))
    assert page.items == items[: len(page.items)]
    assert 1 <= len(page.items) <= limit
    assert len(page.items) == 1 or sum(map(len, page.items)) <= cursors.PAGE_BYTES_MAX
    if len(page.items) == len(items):
        assert page.next_cursor is None
    else:
        assert page.next_cursor is not None
        assert cursors.decode(page.next_cursor, ResultCursor).location == str(len(page.items) - 1)
