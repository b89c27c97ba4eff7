"""PDF files and pictures for tests, honest ones and others."""

import io
import zlib
from collections.abc import Sequence
from functools import cache

import pypdfium2
from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

INVOICE = (
    "Muster Werkzeuge GmbH",
    "Industriestr. 5, 10115 Berlin",
    "Invoice No. INV-2024-0815",
    "Date: 15 March 2024",
    "Hammer, forged steel 2 19.90 39.80",
    "Screws, box of 200 4 7.45 29.80",
    "Total amount: 1,234.56 EUR",
    "Payable within 14 days",
)


def written(*pages: Sequence[str], password: str = "") -> bytes:
    """A PDF whose pages say these lines."""
    target = io.BytesIO()
    canvas = Canvas(target, A4, encrypt=StandardEncryption(password) if password else None)
    for lines in pages:
        canvas.setFont("Helvetica", 12)
        for number, line in enumerate(lines):
            canvas.drawString(60, 780 - 24 * number, line)
        canvas.showPage()
    canvas.save()
    return target.getvalue()


def picture(lines: Sequence[str], kind: str = "PNG") -> bytes:
    """A picture of a page with these lines, as a scanner makes it."""
    with pypdfium2.PdfDocument(written(lines)) as document:
        image = document[0].render(scale=200 / 72, grayscale=True).to_pil()
    target = io.BytesIO()
    image.save(target, kind)
    return target.getvalue()


def scanned(*pages: Sequence[str], stamp: str = "") -> bytes:
    """A PDF whose pages are pictures of these lines; a stamp is text on each."""
    target = io.BytesIO()
    canvas = Canvas(target, A4)
    for image in [ImageReader(io.BytesIO(picture(lines))) for lines in pages]:
        canvas.drawImage(image, 0, 0, *A4)
        canvas.drawString(500, 20, stamp)
        canvas.showPage()
    canvas.save()
    return target.getvalue()


def copied(lines: Sequence[str], pages: int) -> bytes:
    """A scan of many pages, all of them alike."""
    image, target = ImageReader(io.BytesIO(picture(lines))), io.BytesIO()
    canvas = Canvas(target, A4)
    for _ in range(pages):
        canvas.drawImage(image, 0, 0, *A4)
        canvas.showPage()
    canvas.save()
    return target.getvalue()


def black(width: int, height: int) -> bytes:
    """A picture of nothing: few bytes, many pixels."""
    target = io.BytesIO()
    Image.new("1", (width, height)).save(target, "PNG")
    return target.getvalue()


def page_of(content: bytes, resources: str = "", *more: bytes, filters: str = "/FlateDecode") -> bytes:
    """A PDF of one page, put together by hand: its content as it stands in the file, and more objects from 5 on."""
    page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<<{resources}>>>>".encode()
    parts = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page]
    parts += [stream(content, f"/Filter[{filters}]"), *more]
    file = b"%PDF-1.7\n" + b"".join(b"%d 0 obj\n%b\nendobj\n" % (n, part) for n, part in enumerate(parts, 1))
    return file + b"trailer<</Root 1 0 R>>\n%%EOF"


def stream(content: bytes, words: str = "") -> bytes:
    return f"<<{words}/Length {len(content)}>>stream\n".encode() + content + b"\nendstream"


@cache
def squeezed(byte: bytes, size: int) -> bytes:
    """A little that unpacks to as much of one byte."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(byte * min(size - n, 1 << 20)) for n in range(0, size, 1 << 20)) + packer.flush()


def bombs() -> dict[str, bytes]:
    """PDF files that are small and mean to be large."""
    gigabyte = squeezed(b" ", 1 << 30)
    nested = [
        stream(b"/F Do " * 20, f"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F {n} 0 R>>>>")
        for n in range(6, 14)
    ]
    last = stream(b"0 0 m 9 9 l S", "/Type/XObject/Subtype/Form/BBox[0 0 9 9]")
    shape = "/Type/XObject/Subtype/Image/Width 30000/Height 30000/BitsPerComponent 8/ColorSpace/DeviceGray"
    image = stream(squeezed(b"\0", 900_000_000), f"{shape}/Filter/FlateDecode")
    return {
        "content": page_of(gigabyte),
        "content packed twice": page_of(zlib.compress(gigabyte, 9), filters="/FlateDecode/FlateDecode"),
        "picture": page_of(zlib.compress(b"600 0 0 800 0 0 cm /I Do"), "/XObject<</I 5 0 R>>", image),
        "forms in forms": page_of(zlib.compress(b"/F Do " * 20), "/XObject<</F 5 0 R>>", *nested, last),
    }
