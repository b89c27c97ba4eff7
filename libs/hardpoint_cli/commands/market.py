"""Finding and offering: `search`, `show`, `offer`, `listing`."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from hardpoint_cli import completion
from hardpoint_cli.arguments import Capability
from hardpoint_cli.panels import FIND
from hardpoint_cli.screen import done, fields, next_steps, table
from hardpoint_cli.shell import Answer, command

if TYPE_CHECKING:
    from hardpoint.marketplace.v1 import marketplace_pb2
    from hardpoint.registry.v1 import registry_pb2
    from hardpoint_client import Hardpoint

_PRICE = re.compile(r"(?P<amount>\d+(?:\.\d+)?) ?(?P<currency>[A-Za-z]{3})(?:/(?P<period>once|month|year|call))?")
Url = str


def add(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "search", panel=FIND, examples=["hardpoint search weather forecast", "hardpoint search --mine"])(
        search
    )
    command(app, "show", panel=FIND, examples=["hardpoint show acme/weather-lookup", "hardpoint show cleaner@1.0.0"])(
        show
    )
    command(
        app,
        "offer",
        panel=FIND,
        examples=[
            'hardpoint offer weather-lookup --price "9 USD/month" --license Commercial',
            "hardpoint offer cleaner",
        ],
    )(offer)
    listing = typer.Typer(help="A capability's page in the marketplace, for every org to find.")
    app.add_typer(listing, name="listing", rich_help_panel=FIND, no_args_is_help=True)
    command(listing, "hide", examples=["hardpoint listing hide weather-lookup"])(hide_listing)
    command(listing, "show", examples=["hardpoint listing show weather-lookup"])(show_listing)


async def search(
    words: Annotated[list[str] | None, typer.Argument(help="Words of names, descriptions and tags.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Your own org's capabilities, drafts too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
) -> Answer:
    """Search the marketplace, or your own org's capabilities."""
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect

    query = " ".join(words or [])
    async with connect() as client:
        if mine:
            capabilities = await _own(client, query, limit)
            return Answer({"capabilities": [document(one) for one in capabilities]}, _own_table(client, capabilities))
        listings = await _listed(client, query, limit)
        return Answer({"listings": [document(one) for one in listings]}, _listing_table(client, listings))


async def show(
    capability: Annotated[
        str,
        typer.Argument(
            help="weather-lookup, acme/weather-lookup, or either with @1.0.0.",
            autocompletion=completion.capabilities,
            show_default=False,
        ),
    ],
) -> Answer:
    """Show a capability: what it can do, what it asks for, its releases and its page in the marketplace."""
    from hardpoint.registry.v1 import registry_pb2
    from hardpoint_cli import names
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import collect, connect
    from hardpoint_kit.errors import NotFound

    async with connect() as client:
        name, version = names.capability_and_version(capability, client.org)
        found = await client.registry.GetCapability(registry_pb2.GetCapabilityRequest(name=str(name)))
        request = registry_pb2.ListReleasesRequest(parent=str(name))
        releases = await collect(client.registry.ListReleases, request, "releases")
        version = version or found.latest_version
        chosen = next((one for one in releases if one.name == f"{name}/releases/{version}"), None)
        if version and chosen is None:
            raise NotFound("release", f"{name}/releases/{version}")
        chosen = chosen or (releases[0] if releases else None)
        listing = await _listing_of(client, name.org, name.capability)
        shown = _page(client, found, chosen, releases, listing)
        return Answer(
            {
                "capability": document(found),
                "release": document(chosen) if chosen else None,
                "releases": [{"name": one.name, "state": document(one)["state"]} for one in releases],
                "listing": document(listing) if listing else None,
            },
            shown,
        )


async def offer(
    capability: Capability,
    price: Annotated[str, typer.Option(help='"9 USD/month"; also /year, /call, /once. Free without it.')] = "",
    license: Annotated[str, typer.Option(help="An SPDX id, or Commercial.")] = "",
    summary: Annotated[str, typer.Option(help="One sentence for the card.")] = "",
    documentation_url: Annotated[Url, typer.Option(metavar="URL")] = "",
    support_url: Annotated[Url, typer.Option(metavar="URL")] = "",
    repository_url: Annotated[Url, typer.Option(metavar="URL")] = "",
) -> Answer:
    """Offer a public, published capability to every org, or change what its page says.

    What is not given is taken from the latest release; on a page that exists, it stays as it is.
    """
    from hardpoint.marketplace.v1 import marketplace_pb2
    from hardpoint_cli import names
    from hardpoint_cli.documents import document
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id
    from hardpoint_kit.errors import AlreadyExists

    async with connect() as client:
        name = names.capability(capability, client.org)
        listing = marketplace_pb2.Listing(
            capability=str(name),
            price=_price(price),
            license=license,
            summary=summary,
            documentation_url=documentation_url,
            support_url=support_url,
            repository_url=repository_url,
        )
        request = marketplace_pb2.CreateListingRequest(listing=listing, request_id=new_request_id())
        try:
            offered = await client.marketplace.CreateListing(request)
            words = "is offered to every org"
        except AlreadyExists:
            offered = await _changed(client, f"listings/{name.org}.{name.capability}", listing)
            words = "was offered already; its page is up to date"
        short = names.short(str(name), client.org)
        return Answer(
            {"listing": document(offered)}, Group(done(f"{short} {words}"), next_steps(f"hardpoint show {short}"))
        )


async def hide_listing(capability: Capability) -> Answer:
    """Take your capability's page out of the marketplace; what is installed keeps running."""
    from hardpoint.marketplace.v1 import marketplace_pb2

    return await _moved(capability, "HideListing", marketplace_pb2.HideListingRequest)


async def show_listing(capability: Capability) -> Answer:
    """Put a hidden page back; others find it while the capability is public."""
    from hardpoint.marketplace.v1 import marketplace_pb2

    return await _moved(capability, "ShowListing", marketplace_pb2.ShowListingRequest)


async def _moved(capability: str, method: str, request: Any) -> Answer:
    from hardpoint_cli import names
    from hardpoint_cli.documents import document, word
    from hardpoint_cli.session import connect
    from hardpoint_client.client import new_request_id

    async with connect() as client:
        name = names.capability(capability, client.org)
        move = getattr(client.marketplace, method)
        moved = await move(request(name=f"listings/{name.org}.{name.capability}", request_id=new_request_id()))
        short = names.short(str(name), client.org)
        return Answer({"listing": document(moved)}, done(f"the listing of {short} is {word(moved, 'state')}"))


async def _changed(client: "Hardpoint", name: str, listing: "marketplace_pb2.Listing") -> "marketplace_pb2.Listing":
    """The listing with those fields that are given."""
    from google.protobuf.field_mask_pb2 import FieldMask

    from hardpoint.marketplace.v1 import marketplace_pb2
    from hardpoint_client.client import new_request_id

    given = [field.name for field, _ in listing.ListFields() if field.name != "capability"]
    if not given:
        return await client.marketplace.GetListing(marketplace_pb2.GetListingRequest(name=name))
    listing.name = name
    return await client.marketplace.UpdateListing(
        marketplace_pb2.UpdateListingRequest(
            listing=listing, update_mask=FieldMask(paths=given), request_id=new_request_id()
        )
    )


def _price(text: str) -> "marketplace_pb2.Price | None":
    from hardpoint.marketplace.v1 import marketplace_pb2

    if not text:
        return None
    found = _PRICE.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter('write it as "9 USD/month", "0.02 EUR/call" or "49 USD"', param_hint="--price")
    period = f"PERIOD_{(found['period'] or 'once').upper()}"
    return marketplace_pb2.Price(amount=found["amount"], currency=found["currency"].upper(), period=period)


async def _own(client: "Hardpoint", query: str, limit: int) -> "list[registry_pb2.Capability]":
    from hardpoint.registry.v1 import registry_pb2
    from hardpoint_cli.session import collect

    request = registry_pb2.ListCapabilitiesRequest(parent=client.org, query=query)
    return await collect(client.registry.ListCapabilities, request, "capabilities", limit)


async def _listed(client: "Hardpoint", query: str, limit: int) -> "list[marketplace_pb2.Listing]":
    from hardpoint.marketplace.v1 import marketplace_pb2
    from hardpoint_cli.session import collect

    request = marketplace_pb2.SearchListingsRequest(query=query)
    return await collect(client.marketplace.SearchListings, request, "listings", limit)


async def _listing_of(client: "Hardpoint", org: str, capability: str) -> "marketplace_pb2.Listing | None":
    from hardpoint.marketplace.v1 import marketplace_pb2
    from hardpoint_kit.errors import NotFound

    request = marketplace_pb2.GetListingRequest(name=f"listings/{org}.{capability}")
    try:
        return await client.marketplace.GetListing(request)
    except NotFound:
        return None


def _own_table(client: "Hardpoint", capabilities: "list[registry_pb2.Capability]") -> RenderableType:
    from hardpoint_cli.documents import word
    from hardpoint_cli.names import short

    rows = [
        [short(c.name, client.org), c.latest_version or "-", word(c, "visibility"), word(c, "state"), c.description]
        for c in capabilities
    ]
    return table(
        ["capability", "latest", "visibility", "state", "description"], rows, "Nothing found. Make one: hardpoint new"
    )


def _listing_table(client: "Hardpoint", listings: "list[marketplace_pb2.Listing]") -> RenderableType:
    from hardpoint_cli.names import short

    rows = [
        [short(o.capability, client.org), o.latest_version, _money(o), o.license, str(o.install_count), o.summary]
        for o in listings
    ]
    head = ["capability", "latest", "price", "license", "installs", "summary"]
    return table(head, rows, "Nothing found in the marketplace. Your own are under: hardpoint search --mine")


def _money(listing: "marketplace_pb2.Listing") -> str:
    from hardpoint_cli.documents import word

    if not listing.price.amount:
        return "free"
    period = word(listing.price, "period")
    return f"{listing.price.amount} {listing.price.currency}" + ("" if period == "once" else f"/{period}")


def _page(
    client: "Hardpoint",
    capability: "registry_pb2.Capability",
    release: "registry_pb2.Release | None",
    releases: "list[registry_pb2.Release]",
    listing: "marketplace_pb2.Listing | None",
) -> RenderableType:
    from hardpoint_cli.consent import asked_table
    from hardpoint_cli.documents import word
    from hardpoint_cli.names import short
    from hardpoint_cli.schemas import signature

    state = word(capability, "state")
    offered = (
        f"{_money(listing)}, {listing.license or 'no license said'}, {listing.install_count} installs"
        if listing
        else ""
    )
    about: dict[str, RenderableType] = {
        "capability": Text(short(capability.name, client.org), "bold"),
        "name": " ".join(filter(None, [capability.icon, capability.display_name])),
        "about": capability.description,
        "visibility": word(capability, "visibility"),
        "state": "" if state == "active" else f"{state} {capability.deprecation_note}".strip(),
        "offered": offered,
        "releases": ", ".join(f"{one.name.rpartition('/')[2]} ({word(one, 'state')})" for one in releases)
        or "none yet",
    }
    parts: list[RenderableType] = [fields(about)]
    if release is not None:
        manifest = release.manifest
        rows = [(action.id, signature(action.input_schema), action.description) for action in manifest.actions]
        actions = table(["action", "input", "what it does"], rows, "It has no actions.")
        parts += [Text(), Text(f"{short(release.name, client.org)} offers", "bold"), actions]
        parts += [Text(), Text("and asks for", "bold"), asked_table(manifest)]
    return Group(*parts)
