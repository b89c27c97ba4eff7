// expect[user_error timeout] slots[user_error]: code that runs when an error is shown
async function run(x) {
  Error.prepareStackTrace = () => ' at ' + '(:1:1'.repeat(50_000);
  Error.stackTraceLimit = Infinity;
  throw new RangeError('x');
}
