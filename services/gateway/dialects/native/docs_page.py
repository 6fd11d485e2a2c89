"""Documentation page: a single HTML file without third-party resources that renders the OpenAPI document."""

from pathlib import Path

PAGE = Path(__file__).with_name("docs.html").read_bytes()
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "public, max-age=300",
    "X-Content-Type-Options": "nosniff",
}
