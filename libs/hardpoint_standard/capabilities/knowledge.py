"""What an organisation knows: documents taken in as passages, found by their words and, with a model, by their meaning.

The table, which the organisation makes once and names in DATABASE_TABLES:

    CREATE TABLE knowledge (
        document text NOT NULL,
        part integer NOT NULL,
        text text NOT NULL,
        page integer,
        section text,
        start integer,
        embedding real[],
        words tsvector GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED
    );
    CREATE INDEX ON knowledge USING gin (words);
    CREATE INDEX ON knowledge (document);

A table without `page`, `section`, `start` and `embedding` goes on to be searched by words. Where AI_URL and
AI_EMBEDDING_MODEL are set, passages have vectors. An array is compared with each passage, which is fine for some
thousands of them; for more make it `embedding vector(1536)` of pgvector, with the model's number, and an index with
`vector_cosine_ops`.
"""

import csv
import json
import re
from contextlib import suppress

import pypdfium2

from hardpoint_sdk import BrokerError, action, capability

PASSAGE = 1200
"""Characters of a passage, about, so that a few of them fit into a prompt."""
MOST_CHARACTERS = 400_000
FILE_BYTES = 20_000_000
AT_ONCE, MOST_EMBEDDED = 64, 256
"""Passages that a model is asked about at once, and in one call of this: each time is two of the calls that it has."""
MOST_RANKED, LATE = 50, 60
"""Passages that are ranked each way, and the constant of reciprocal rank fusion."""
LARGEST = 9999
"""Of a vector's numbers as they are kept: whole ones, whose directions are as good and a third as long to write."""
REFUSED, NO_COLUMN = "the database refused the statement", "42703"
HEADING = re.compile(r"(#{1,6})\s+(\S.*?)[#\s]*")
SOURCE = [
    {"name": "page", "type": "integer", "description": "Of a PDF, from 1"},
    {"name": "section", "type": "string", "description": "Headings above it, or its rows"},
    {"name": "start", "type": "integer", "description": "The character that it begins at, of the page or the text"},
]

# One statement, so that a document is never there twice, nor in part.
INGEST = """
    WITH old AS (DELETE FROM knowledge WHERE document = $1)
    INSERT INTO knowledge (document, part, text, page, section, start)
    SELECT $1, made.part, made.text, made.page, made.section, made.start
    FROM json_to_recordset(CAST($2 AS json))
        AS made (part integer, text text, page integer, section text, start integer)
"""
INGEST_TEXT = """
    WITH old AS (DELETE FROM knowledge WHERE document = $1)
    INSERT INTO knowledge (document, part, text)
    SELECT $1, made.part, made.text FROM json_to_recordset(CAST($2 AS json)) AS made (part integer, text text)
"""
EMBED = """
    UPDATE knowledge SET embedding = made.embedding
    FROM json_to_recordset(CAST($2 AS json)) AS made (part integer, embedding real[])
    WHERE document = $1 AND knowledge.part = made.part
"""
# Words that a text should have, any of them; those that have more of them, closer together, come first.
WORDS = """
    SELECT document, part, text, page, section, start
    FROM knowledge, websearch_to_tsquery('simple', $1) AS wanted
    WHERE words @@ wanted ORDER BY ts_rank_cd(words, wanted) DESC, document, part LIMIT $2
"""
WORDS_TEXT = WORDS.replace("text, page, section, start", "text")
KIND = "SELECT CAST(pg_typeof(embedding) AS text) AS kind FROM knowledge WHERE embedding IS NOT NULL LIMIT 1"
# By the cosine of the angle between the vectors, without the part of it that is the same for all.
NEAR_ARRAY = """
    SELECT document, part, text, page, section, start FROM knowledge
    WHERE cardinality(embedding) = cardinality(CAST($1 AS real[]))
    ORDER BY (
        SELECT sum(CAST(a AS double precision) * b) / nullif(sqrt(sum(CAST(a AS double precision) * a)), 0)
        FROM unnest(embedding, CAST($1 AS real[])) AS pair (a, b)
    ) DESC NULLS LAST, document, part LIMIT $2
"""
NEAR_VECTOR = """
    SELECT document, part, text, page, section, start FROM knowledge
    WHERE embedding IS NOT NULL ORDER BY embedding <=> CAST(CAST($1 AS text) AS vector) LIMIT $2
"""
FORGET = "DELETE FROM knowledge WHERE document = $1"


class NoText(Exception):
    """There is nothing to take in."""


class OldTable(Exception):
    """The table has no place for vectors."""


class TooLong(Exception):
    """It has more text, or bytes, than one call takes in."""


@capability(
    id="knowledge",
    name="Knowledge",
    icon="📚",
    version="1.1.0",
    author="Hardpoint",
    description="Take in documents and find passages by their words, and by their meaning where a model is set, with "
    "the place that each is from. It keeps them in a table `knowledge` of the organisation's database, which its file "
    "shows how to make",
    category="data",
    tags=["search", "documents"],
    libraries=["pypdfium2"],
    permissions=[
        *["data.read", "data.write", "data.delete", "ai.embedding", "file.read"],
        *["compute.moderate", "compute.heavy"],
    ],
)
class Knowledge:
    @action(
        description="Take in a document, in place of what it said before",
        inputs=[
            {"name": "file", "type": "file", "description": "Text, Markdown, CSV, or a PDF that says its text"},
            {"name": "text", "type": "string", "description": "The text itself, in place of a file"},
            {"name": "document", "type": "string", "description": "What it is called; the file's name when absent"},
        ],
        outputs=[
            {"name": "document", "type": "string", "required": True},
            {"name": "passages", "type": "integer", "required": True, "description": "How many it became"},
        ],
        effect="write",
        idempotent=True,
    )
    async def ingest(self, input):
        document = input.get("document") or input.get("file", {}).get("name")
        if not document:
            raise NoText("the document has no name: give `document`")
        blocks = [(None, input["text"])] if "text" in input else await self.pages_of(input.get("file"))
        length = sum(len(text) for _, text in blocks)
        if length > MOST_CHARACTERS:
            raise TooLong(f"{document} has {length} characters, and {MOST_CHARACTERS} are taken in: split it")
        parts = [
            {"page": page, "section": section, "start": start, "text": text}
            for page, whole in blocks
            for section, start, text in passages(whole.replace("\0", "").replace("\r\n", "\n"), document)
        ]
        if not parts:
            raise NoText(f"{document} says nothing; of a scanned PDF, take in what ocr.extract gives, as `text`")
        made = [{"part": number, **part} for number, part in enumerate(parts, 1)]
        vectors = await self.vectors([part["text"] for part in parts]) if self.has_model else []
        written = [document, json.dumps(made, ensure_ascii=False)]
        await self.either(self.db.execute, INGEST, INGEST_TEXT, written)
        for first in range(0, len(vectors), AT_ONCE):
            batch = [
                {"part": part, "embedding": vector}
                for part, vector in enumerate(vectors[first : first + AT_ONCE], first + 1)
            ]
            await self.db.execute(EMBED, [document, json.dumps(batch)])
        return {"document": document, "passages": len(parts)}

    @action(
        description='Find passages as with a search box: words, "exact words", this or that, -without; where a model '
        "is set, also those that mean alike",
        inputs=[
            {"name": "query", "type": "string", "required": True},
            {"name": "limit", "type": "integer", "default": 5, "description": "Passages to give, at most"},
        ],
        outputs=[
            {
                "name": "passages",
                "type": "array",
                "required": True,
                "items": {
                    "type": "object",
                    "properties": [
                        {"name": "document", "type": "string", "required": True, "description": "Where it is from"},
                        {"name": "part", "type": "integer", "required": True, "description": "Which passage, from 1"},
                        {"name": "text", "type": "string", "required": True},
                        *SOURCE,
                        {"name": "rank", "type": "number", "required": True, "description": "More is better"},
                    ],
                },
            }
        ],
        effect="read",
    )
    async def search(self, input):
        asked = [input["query"], MOST_RANKED]
        rankings = [await self.either(self.db.query, WORDS, WORDS_TEXT, asked)]
        if self.has_model and input["query"].strip():
            rankings.append(await self.near(input["query"]))
        return {"passages": fused(rankings)[: input["limit"]]}

    @action(
        description="Remove a document",
        inputs=[{"name": "document", "type": "string", "required": True}],
        outputs=[{"name": "passages", "type": "integer", "required": True, "description": "How many it had"}],
        effect="write",
        idempotent=True,
    )
    async def forget(self, input):
        return {"passages": (await self.db.execute(FORGET, [input["document"]]))["rows"]}

    @property
    def has_model(self):
        return bool(self.config.get("AI_URL") and self.config.get("AI_EMBEDDING_MODEL"))

    async def near(self, query):
        """Passages by how close their vectors are to that of the query."""
        try:
            kinds = await self.db.query(KIND)
        except BrokerError as refused:
            raise outdated(refused) from None
        if not kinds:
            return []
        [vector] = await self.vectors([query])
        if kinds[0]["kind"].rpartition(".")[2] == "vector":
            return await self.db.query(NEAR_VECTOR, [json.dumps(vector), MOST_RANKED])
        return await self.db.query(NEAR_ARRAY, [vector, MOST_RANKED])

    async def vectors(self, texts):
        if len(texts) > MOST_EMBEDDED:
            raise TooLong(f"it makes {len(texts)} passages, and {MOST_EMBEDDED} get vectors at once: split it")
        found = []
        for first in range(0, len(texts), AT_ONCE):
            found += await self.ai.embed(texts[first : first + AT_ONCE])
        return [whole(vector) for vector in found]

    async def either(self, ask, statement, before, params):
        """Run a statement, or the one for a table of before, where no model wants more of it."""
        try:
            return await ask(statement, params)
        except BrokerError as refused:
            if not is_outdated(refused):
                raise
            if self.has_model:
                raise outdated(refused) from None
            return await ask(before, params)

    async def pages_of(self, file):
        """The texts of a file as (page, text); the page is None where it has none."""
        if file is None:
            raise NoText("there is no document: give `file` or `text`")
        name = file.get("name", "the file")
        content = await self.file.open(file, length=FILE_BYTES + 1)
        if len(content) > FILE_BYTES:
            raise TooLong(f"{name} has more than {FILE_BYTES} bytes: split it")
        if b"%PDF-" in content[:1024]:
            try:
                with pypdfium2.PdfDocument(content) as document:
                    texts = (page.get_textpage().get_text_range(errors="replace") for page in document)
                    return [*enumerate(texts, 1)]
            except pypdfium2.PdfiumError as error:
                raise NoText(f"{name} is no PDF that can be read ({error}): save it without a password") from None
        try:
            return [(None, content.decode("utf-8-sig"))]
        except UnicodeDecodeError:
            raise NoText(f"{name} is neither a PDF nor a text in UTF-8: save it as one of them") from None


def is_outdated(refused):
    """Whether a column is missing, by the state: the words are those of the server's language."""
    return refused.code == "STATEMENT_FAILED" and refused.message.startswith(f"{REFUSED} ({NO_COLUMN})")


def outdated(refused):
    if not is_outdated(refused):
        return refused
    columns = "ADD page integer, ADD section text, ADD start integer, ADD embedding real[]"
    return OldTable(f"the table has no place for vectors: ALTER TABLE knowledge {columns}; or unset AI_EMBEDDING_MODEL")


def whole(vector):
    """A vector in whole numbers, with the same direction."""
    most = max(map(abs, vector), default=0) or 1
    return [round(number / most * LARGEST) for number in vector]


def fused(rankings):
    """Passages of several rankings in one, by reciprocal rank fusion; of equals those of the first come first."""
    found, ranks = {}, {}
    for ranking in rankings:
        for place, passage in enumerate(ranking, 1):
            key = (passage["document"], passage["part"])
            found[key] = {name: value for name, value in passage.items() if value is not None}
            ranks[key] = ranks.get(key, 0) + 1 / (LATE + place)
    return [{**found[key], "rank": rank} for key, rank in sorted(ranks.items(), key=lambda one: -one[1])]


def passages(text, name):
    """A text in passages as (section, start, text): a CSV by rows, Markdown by headings, the rest as it stands."""
    lower = name.lower()
    if lower.endswith(".csv"):
        with suppress(csv.Error):
            yield from [*rows(text)]
            return
    sections = headed(text) if lower.endswith((".md", ".markdown")) else [(None, 0, text)]
    for section, at, part in sections:
        made = []
        for start, piece in pieces(part):
            if made and len(made[-1][1]) + len(piece) < PASSAGE:
                made[-1][1] += f"\n{piece}"
            else:
                made.append([at + start, piece])
        yield from ((section, start, piece) for start, piece in made)


def headed(text):
    """Markdown in its sections, as (headings above, start, text)."""
    trail, at, here, begun, fenced = {}, 0, [], 0, False
    for line in text.splitlines(keepends=True):
        heading = None if fenced else HEADING.fullmatch(line.rstrip())
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        if heading:
            yield " > ".join(trail.values()) or None, begun, "".join(here)
            level = len(heading[1])
            trail = {**{one: title for one, title in trail.items() if one < level}, level: heading[2][:200]}
            begun, here = at, []
        here.append(line)
        at += len(line)
    yield " > ".join(trail.values()) or None, begun, "".join(here)


def rows(text):
    """A CSV in rows that fit into a passage, each below the names of its columns."""
    lines = text.splitlines(keepends=True)
    reader = csv.reader(lines)
    head = next(reader, [])
    at, line, first, number = len("".join(lines[: reader.line_num])), reader.line_num, 2, 1
    names = "".join(lines[:line]).strip()[: PASSAGE // 3]
    begun, here = at, ""

    def below(last):
        section = f"rows {first}-{last}"
        for start, piece in [(0, here.strip())] if len(here) < PASSAGE else cut(here):
            yield section, begun + start, f"{names}\n{piece}"

    for row in reader if head else ():
        number += 1
        raw = "".join(lines[line : reader.line_num])
        if here and len(names) + len(here) + len(raw) > PASSAGE:
            yield from below(number - 1)
            begun, here, first = at, "", number
        here += raw if any(row) else ""
        at, line = at + len(raw), reader.line_num
    if here.strip():
        yield from below(number)


def pieces(text):
    """Whole paragraphs, whole lines where one is long, whole words where a line is, as (start, text)."""
    at = 0
    for part in re.split(r"(\n\s*\n)", text):
        here = at
        for line in [part] if len(part) <= PASSAGE else part.split("\n"):
            yield from ((here + start, piece) for start, piece in cut(line))
            here += len(line) + 1
        at += len(part)


def cut(line):
    start = len(line) - len(line.lstrip())
    line = line.strip()
    while len(line) > PASSAGE:
        end = line.rfind(" ", 1, PASSAGE) if " " in line[1:PASSAGE] else PASSAGE
        yield start, line[:end]
        rest = line[end:]
        line = rest.lstrip()
        start += end + len(rest) - len(line)
    if line:
        yield start, line
