"""What is uninstalled leaves nothing to the next installation of its name."""

from hardpoint.config.v1 import config_pb2
from hardpoint.runtime.v1 import installation_pb2


async def test_settings_go_with_their_installation(client, agent, add):
    await add("weather-capability.yaml", secrets={"API_KEY": "key-of-the-first"})
    settings = config_pb2.GetSettingsRequest(name=client.named("settings", "weather-lookup"))
    secret = (await client.config.GetSettings(settings)).secrets["API_KEY"]
    await client.detach(agent.id, "weather-lookup")
    name = client.named("installations", "weather-lookup")
    await client.installations.DeleteInstallation(installation_pb2.DeleteInstallationRequest(name=name))

    assert not (await client.config.GetSettings(settings)).secrets
    again = await client.install(f"{client.org}/capabilities/weather-lookup")
    assert again.name == name
    assert [missing.key for missing in again.missing_settings] == ["API_KEY"]
    await client.config.DeleteSecret(config_pb2.DeleteSecretRequest(name=secret))
    [newest, *_] = (await client.events("config", resource=settings.name)).events
    assert newest.action == "settings.delete"
    assert newest.via
