// expect[oom crash user_error timeout] slots[user_error: Intl]: formatters and texts that cost far more than their source
async function run(x) {
  const kept = [];
  for (let n = 0; ; n += 1) kept.push(new Intl.DateTimeFormat('zh-u-ca-chinese', { dateStyle: 'full', timeZone: 'Asia/Shanghai' }), '\ufdfa'.repeat(1e4).normalize('NFKC'));
}
