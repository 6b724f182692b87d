"""What every answer tells the browser, and which addresses a login may lead to."""

import re
from urllib.parse import urlsplit

# A host as it may stand in a tile URL, with Leaflet's {s} for one of its subdomains.
_TILE_HOST = re.compile(r"(\{s\}\.)?[A-Za-z0-9.\-]+(:[0-9]{1,5})?")


def content_security_policy(tile_url: str) -> str:
    """Only our own files; pictures from the tile host besides, where one is set. No script or style in a page's text.

    Raises:
        ValueError: the tile URL names no host that could stand in a policy.
    """
    pictures = " ".join(["'self'", "data:", *([tile_source(tile_url)] if tile_url else [])])
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            f"img-src {pictures}",
            "connect-src 'self'",
            "font-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    )


def tile_source(tile_url: str) -> str:
    """The policy's name for where tiles come from: `https://*.tiles.example.org`, or 'self' for a path on this server.

    Raises:
        ValueError: neither http(s) with a plain host, nor a path.
    """
    parts = urlsplit(tile_url)
    if not parts.scheme and not parts.netloc and tile_url.startswith("/"):
        return "'self'"
    if parts.scheme not in ("http", "https") or not _TILE_HOST.fullmatch(parts.netloc):
        raise ValueError(
            f"[web] tile_url must look like https://tiles.example.org/{{z}}/{{x}}/{{y}}.png, not {tile_url}"
        )
    return f"{parts.scheme}://{parts.netloc.replace('{s}', '*')}"


def security_headers(policy: str) -> dict[str, str]:
    """Headers of every answer."""
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }


def local_path(target: str) -> str:
    """The address to go to after a login: a path of this site, else the front page.

    `//host`, `/\\host` and anything with a scheme or a control character lead away, whatever they look like.
    """
    if not target.startswith("/") or target.startswith("//") or "\\" in target or not target.isprintable():
        return "/"
    parts = urlsplit(target)
    return target if not parts.scheme and not parts.netloc else "/"
