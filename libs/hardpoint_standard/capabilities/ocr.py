"""The text of a document: what a PDF says itself, and what is read off scanned pages and pictures."""

import os
import time

import pypdfium2
import pypdfium2.raw
import tesserocr

from hardpoint_sdk import action, capability

PAGES = 500
SCANNED_PAGES = 60
SECONDS = 50
"""What a call takes at most, so that it ends with words and not at the deadline of the heaviest compute tier."""
PIXELS = 8_000_000
"""Of a page that is read: A4 at 300 dots an inch."""
DOTS_PER_INCH = 200
PICTURE_PIXELS = 50_000_000
"""Of the pictures on a page, which take memory before they are drawn."""
FILE_BYTES = 20_000_000
TEXT_BYTES = 900_000
FEW_LETTERS = 16
"""A page that says less, and shows something, is a scan with a stamp on it."""

WORDS, PICTURE = pypdfium2.raw.FPDF_PAGEOBJ_TEXT, pypdfium2.raw.FPDF_PAGEOBJ_IMAGE
LANGUAGES = {"en": "eng", "de": "deu"}
NOTES = "/tmp/notes"
DATA = "/layers/tessdata-fast-{0}/share/tessdata"
PICTURES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b"RIFF")

DOCUMENT = [
    {"name": "input", "type": "file", "required": True, "description": "A PDF, or a picture: PNG, JPEG, TIFF, WebP"},
    {
        "name": "language",
        "type": "string",
        "enum": list(LANGUAGES),
        "default": "en",
        "description": "The language of what is scanned",
    },
    {"name": "first", "type": "integer", "default": 1, "description": "The page to begin with"},
    {"name": "last", "type": "integer", "description": "The page to end with; all when absent"},
]
PAGE = [
    {"name": "number", "type": "integer", "required": True},
    {"name": "text", "type": "string", "required": True},
    {
        "name": "source",
        "type": "string",
        "required": True,
        "enum": ["text", "ocr"],
        "description": "Whether the file says the text, or it was read off a picture",
    },
]


class FileUnreadable(Exception):
    """It is no document that this capability reads."""


class FileEncrypted(Exception):
    """It needs a password."""


class FileTooLarge(Exception):
    """It has more bytes, pages, pixels or text than one call reads."""


class PagesTooSlow(Exception):
    """Reading its pages takes longer than a call may."""


@capability(
    id="ocr",
    name="Text of documents",
    icon="📄",
    version="1.0.0",
    author="Hardpoint",
    description="Read the text of PDF files and pictures; scanned pages are recognised",
    category="documents",
    tags=["pdf", "ocr", "scan"],
    libraries=["pypdfium2", "tesserocr"],
    permissions=["file.read", "compute.heavy"],
)
class Ocr:
    @action(
        description="Read the whole text of a PDF or a picture",
        inputs=DOCUMENT,
        effect="read",
    )
    async def extract(self, input):
        return "\n\n".join(page["text"] for page in await self.read(input))

    @action(
        description="Read the text of a PDF or a picture page by page",
        inputs=DOCUMENT,
        outputs=[
            {
                "name": "pages",
                "type": "array",
                "required": True,
                "items": {"type": "object", "properties": PAGE},
            }
        ],
        effect="read",
    )
    async def pages(self, input):
        return {"pages": await self.read(input)}

    async def read(self, input):
        self.ends = time.monotonic() + SECONDS
        self.language = LANGUAGES[input.get("language", "en")]
        self.reader = None
        name = input["input"].get("name", "the file")
        content = await self.file.open(input["input"])
        if len(content) > FILE_BYTES:
            raise FileTooLarge(f"{name} has {len(content)} bytes, and {FILE_BYTES} are read: split it, or scan coarser")
        if b"%PDF-" in content[:1024]:
            pages = self.read_pdf(content, name, input)
        elif content.startswith(PICTURES):
            pages = [self.read_picture(content, name)]
        else:
            raise FileUnreadable(f"{name} is neither a PDF nor a picture: give a PDF, PNG, JPEG, TIFF or WebP file")
        if sum(len(page["text"].encode()) for page in pages) > TEXT_BYTES:
            raise FileTooLarge(
                f"the text of {name} has more than {TEXT_BYTES} bytes: read it in parts by first and last"
            )
        return pages

    def read_pdf(self, content, name, input):
        try:
            document = pypdfium2.PdfDocument(content)
            count = len(document)
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).lower():
                raise FileEncrypted(f"{name} needs a password: save it without one") from None
            raise FileUnreadable(
                f"{name} is no PDF that can be read ({error}): save it again from its program"
            ) from None
        first, last = input.get("first", 1), min(input.get("last", count), count)
        if not 1 <= first <= last:
            raise ValueError(
                f"{name} has {count} pages, so pages {first} to {input.get('last', count)} are none of them"
            )
        if last - first >= PAGES:
            raise FileTooLarge(
                f"{name} has {count} pages, and {PAGES} are read at once: read it in parts by first and last"
            )
        pages = [self.said_on(document, number, name) for number in range(first, last + 1)]
        scanned = [page for page in pages if page["source"] == "ocr"]
        if len(scanned) > SCANNED_PAGES:
            stop = scanned[SCANNED_PAGES]["number"]
            raise FileTooLarge(
                f"{name} has {len(scanned)} scanned pages, and {SCANNED_PAGES} are read at once: read it in parts, "
                f"this one with last={stop - 1} and the next with first={stop}"
            )
        for done, page in enumerate(scanned):
            self.progress(done / len(scanned), f"page {page['number']}")
            seen = self.seen_on(document, page["number"], name)
            page["text"], page["source"] = (seen, "ocr") if len(seen) > len(page["text"]) else (page["text"], "text")
        return pages

    def said_on(self, document, number, name):
        """A page with the text that the file says; its source is `ocr` where that is not all that it shows."""
        page = self.page_of(document, number, name)
        text = self.text_of(page)
        scanned = self.is_scanned(page, text, number, name)
        page.close()
        return {"number": number, "text": text, "source": "ocr" if scanned else "text"}

    def page_of(self, document, number, name):
        try:
            return document[number - 1]
        except pypdfium2.PdfiumError as error:
            raise FileUnreadable(
                f"page {number} of {name} cannot be read ({error}): leave it out by first and last"
            ) from None

    def text_of(self, page):
        text = page.get_textpage().get_text_range(errors="replace")
        return "\n".join(line.rstrip() for line in text.replace("\0", "").splitlines()).strip()

    def is_scanned(self, page, text, number, name):
        """Whether a page shows more than it says. Raises FileTooLarge for what one call does not recognise."""
        parts = list(page.get_objects())
        if sum(letter.isalnum() for letter in text) >= FEW_LETTERS or all(part.type == WORDS for part in parts):
            return False
        sizes = [part.get_px_size() for part in parts if part.type == PICTURE]
        pixels = sum(width * height for width, height in sizes)
        if pixels > PICTURE_PIXELS:
            raise FileTooLarge(
                f"page {number} of {name} holds pictures of {pixels} pixels, and {PICTURE_PIXELS} are read: "
                "scan it coarser"
            )
        return True

    def seen_on(self, document, number, name):
        page = self.page_of(document, number, name)
        width, height = page.get_size()
        scale = min(DOTS_PER_INCH / 72, (PIXELS / max(width * height, 1)) ** 0.5)
        try:
            picture = page.render(scale=scale, grayscale=True)
        except (pypdfium2.PdfiumError, MemoryError):
            raise FileTooLarge(
                f"page {number} of {name} cannot be drawn in the memory of a call: scan it coarser"
            ) from None
        self.engine().SetImageBytes(bytes(picture.buffer), picture.width, picture.height, 1, picture.stride)
        picture.close()
        page.close()
        return self.recognised(number, name)

    def read_picture(self, content, name):
        path = "/tmp/picture"
        with open(path, "wb") as file:
            file.write(content)
        try:
            self.engine().SetImageFile(path)
        except (RuntimeError, NameError):  # tesserocr would try again with Pillow, which is not there
            raise FileUnreadable(
                f"{name} is no picture that can be read, or too large for the memory of a call: save it again, smaller"
            ) from None
        os.unlink(path)
        return {"number": 1, "text": self.recognised(1, name), "source": "ocr"}

    def recognised(self, number, name):
        left = self.ends - time.monotonic()
        if left <= 0 or not self.engine().Recognize(int(left * 1000) + 1):
            raise PagesTooSlow(
                f"{name} takes longer than {SECONDS} s to read, and page {number} was not reached: "
                "read it in parts by first and last"
            )
        return self.engine().GetUTF8Text().strip()

    def engine(self):
        """Tesseract, from the first page on that needs it."""
        if self.reader is None:
            self.reader = tesserocr.PyTessBaseAPI(DATA.format(self.language), self.language, tesserocr.PSM.AUTO)
            # Its notes would go to /dev/null, which a jail does not have.
            self.reader.SetVariable("debug_file", NOTES)
        return self.reader
