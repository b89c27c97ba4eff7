// expect[timeout]: a pattern that tries every way to fail
async function run(x) { return /^(?:(?:a|aa)+)+$/u.test('a'.repeat(60) + 'b'); }
