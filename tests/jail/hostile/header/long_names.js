// expect[output_limit]: names longer than every limit
export default { id: 'x'.repeat(300_000), name: '\u0000'.repeat(1000), version: '1.0.0', actions: { async a() {} } };
