const encoder = new TextEncoder(); return ['aü€😀', '\ud800x', '', undefined]
  .map((text) => [...encoder.encode(text)]).concat([encoder.encoding, new TextDecoder().encoding]);
