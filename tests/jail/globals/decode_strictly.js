const strict = new TextDecoder('utf-8', { fatal: true }); return [[0xe2, 0x82], [0xff, 0x41], [0xef, 0xbf, 0xbd], [0x41]]
  .map((bytes) => { try { return strict.decode(new Uint8Array(bytes)); } catch (error) { return error.name; } });
