"""Pictures and files between their two spellings: `data:` URLs (OpenAI) and media type plus base64 (Anthropic)."""

from __future__ import annotations

from atp_engine.dialects import ir

_MARK = ";base64,"


def image_from_url(url: str) -> ir.Image | None:
    """The picture that a URL stands for; None when it is neither http(s) nor base64 data."""
    if url.startswith("data:"):
        head, mark, base64 = url[5:].partition(_MARK)
        return ir.Image(media_type=head.partition(";")[0], base64=base64) if mark and head and base64 else None
    if url[:8].lower().startswith(("http://", "https://")):
        return ir.Image(url=url)
    return None


def url_of_image(image: ir.Image) -> str:
    """The picture as a URL."""
    return image.url or f"data:{image.media_type}{_MARK}{image.base64}"


def document_from_url(url: str, name: str = "") -> ir.Document | None:
    """The file that a URL stands for; None when it is neither http(s) nor base64 data."""
    image = image_from_url(url)
    return None if image is None else ir.Document(image.media_type, image.base64, image.url, name)


def url_of_document(document: ir.Document) -> str:
    """The file as a URL."""
    return document.url or f"data:{document.media_type}{_MARK}{document.base64}"
