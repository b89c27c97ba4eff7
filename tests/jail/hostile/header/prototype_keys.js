// expect[ok]: a header whose keys are those of every object
const header = JSON.parse('{"__proto__":{"admin":true},"constructor":{"prototype":{"x":1}},"id":"hostile","actions":{"__proto__":1}}');
header.actions = { ...header.actions, async a() {}, async constructor() {}, async toString() {}, async ['x);process.exit(1)//']() {} };
export default header;
