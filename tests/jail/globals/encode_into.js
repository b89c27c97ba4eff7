const view = new Uint8Array(5); const told = new TextEncoder().encodeInto('a€😀', view); return [told, [...view]];
