// Owns `this.utils`: tables and figures, with the same answers as the Python SDK.
//
// `data` is a number, or arrays and objects of numbers nested in any way; what is not a number is left out. The option
// `column` picks one column of rows that are objects. Both languages do the same operations in the same order, so even
// the last bit agrees.

const NUMBER = /^-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$/;
const QUOTED = /"([^"]*(?:""[^"]*)*)"/y;
const BLANK = /^[ \t]+|[ \t]+$/g;

/**
 * Return rows as objects when the first row is a header, as arrays when it is not. Without the option `header`, the
 * first row is a header when one of its cells is neither empty nor a number. A cell that is written like a JSON number
 * is a number; `007` and integers beyond 2**53 stay text. Throws with the line.
 */
export function parseCSV(text, { header, delimiter = ',' } = {}) {
  const rows = [...readRows(text.replace(/^\ufeff/, ''), delimiter)];
  const named = header ?? (rows.length > 0 && rows[0].some((cell) => typeof cell === 'string' && cell !== ''));
  if (!named) return rows;
  const names = rows.length > 0 ? columnNames(rows[0]) : [];
  return rows.slice(1).map((row) => record(names, row));
}

/** Return CSV text with one line a row; rows that are objects get a header of all their keys. */
export function toCSV(rows, { delimiter = ',' } = {}) {
  let table = rows;
  if (rows.some((row) => !Array.isArray(row))) {
    const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    table = [names, ...rows.map((row) => names.map((name) => row[name]))];
  }
  return table.map((row) => row.map((cell) => cellText(cell, delimiter)).join(delimiter) + '\n').join('');
}

/** Return every finite number in the data, in order; booleans and text are not numbers. */
export function numbers(data, { column } = {}) {
  const found = [];
  collect(column === undefined ? data : data.map((row) => row?.[column]), found);
  return found;
}

/** Return the sum, exact to the last bit or two however many numbers there are; 0 of none. */
export function sum(data, options) {
  return total(numbers(data, options));
}

/** Return the smallest number. Throws when there is none. */
export function min(data, options) {
  return sorted(data, options)[0];
}

/** Return the largest number. Throws when there is none. */
export function max(data, options) {
  return sorted(data, options).at(-1);
}

/** Return the arithmetic mean. Throws when there is no number. */
export function mean(data, options) {
  const values = some(numbers(data, options), 1);
  return total(values) / values.length;
}

/** Return the middle number, or the mean of the two in the middle. Throws when there is none. */
export function median(data, options) {
  const ordered = sorted(data, options);
  const middle = Math.floor(ordered.length / 2);
  return ordered.length % 2 ? ordered[middle] : (ordered[middle - 1] + ordered[middle]) / 2;
}

/** Return the q-quantile (q from 0 to 1), linear between neighbours. Throws when there is no number. */
export function quantile(data, q, options) {
  if (!(q >= 0 && q <= 1)) throw new RangeError('q must be between 0 and 1');
  return quantileOf(sorted(data, options), q);
}

/** Return the sample variance (divided by n - 1), or with `population: true` that of a whole population (n). */
export function variance(data, { column, population = false } = {}) {
  const values = some(numbers(data, { column }), population ? 1 : 2);
  const center = total(values) / values.length;
  return total(values.map((value) => (value - center) * (value - center))) / (values.length - (population ? 0 : 1));
}

/** Return the sample standard deviation (n - 1), or with `population: true` that of a whole population (n). */
export function standardDeviation(data, options) {
  return Math.sqrt(variance(data, options));
}

/** Return the numbers more than 1.5 interquartile ranges below the first or above the third quartile. */
export function findOutliers(data, options) {
  const values = numbers(data, options);
  if (values.length === 0) return [];
  const ordered = [...values].sort((a, b) => a - b);
  const [first, third] = [quantileOf(ordered, 0.25), quantileOf(ordered, 0.75)];
  const reach = 1.5 * (third - first);
  return values.filter((value) => value < first - reach || value > third + reach);
}

/** Return Pearson's correlation of two equally long series; null when one of them is constant. */
export function correlation(xs, ys) {
  const [left, right] = [some(numbers(xs), 2), some(numbers(ys), 2)];
  if (left.length !== right.length) {
    throw new RangeError(`series of different length: ${left.length} and ${right.length} numbers`);
  }
  const [centerLeft, centerRight] = [total(left) / left.length, total(right) / right.length];
  const pairs = left.map((x, at) => [x - centerLeft, right[at] - centerRight]);
  const spread = Math.sqrt(total(pairs.map(([x]) => x * x)) * total(pairs.map(([, y]) => y * y)));
  return spread ? total(pairs.map(([x, y]) => x * y)) / spread : null;
}

/** Return slope and intercept of the least-squares line through the numbers at positions 0, 1, 2, ... */
export function linearTrend(data, options) {
  const values = some(numbers(data, options), 2);
  const [center, middle] = [total(values) / values.length, (values.length - 1) / 2];
  const slope =
    total(values.map((value, at) => (at - middle) * (value - center))) /
    total(values.map((_, at) => (at - middle) * (at - middle)));
  return { slope, intercept: center - slope * middle };
}

/** Return `{key, rows}` for every value of a column, in the order of their first row. */
export function groupBy(rows, column) {
  const groups = new Map();
  for (const row of rows) {
    const key = row[column] ?? null;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(row);
  }
  return [...groups].map(([key, members]) => ({ key, rows: members }));
}

function* readRows(text, delimiter) {
  if (delimiter.length !== 1 || '"\r\n'.includes(delimiter)) {
    throw new RangeError('delimiter must be one character other than a quote or a line break');
  }
  const plain = new RegExp(`[^\\u${delimiter.charCodeAt(0).toString(16).padStart(4, '0')}\r\n]*`, 'y');
  let row = [];
  let [at, line] = [0, 1];
  while (at < text.length) {
    let cell;
    if (text[at] === '"') {
      QUOTED.lastIndex = at;
      const quoted = QUOTED.exec(text);
      if (quoted === null) throw new SyntaxError(`line ${line}: a quoted cell is not closed`);
      [cell, at] = [quoted[1].replaceAll('""', '"'), QUOTED.lastIndex];
      if (at < text.length && ![delimiter, '\r', '\n'].includes(text[at])) {
        throw new SyntaxError(`line ${line}: text after a quoted cell`);
      }
      line += cell.split('\n').length - 1;
    } else {
      plain.lastIndex = at;
      cell = plain.exec(text)[0];
      at += cell.length;
    }
    row.push(cellValue(cell));
    if (at < text.length && text[at] === delimiter) {
      at += 1;
      if (at < text.length) continue;
      row.push('');
    }
    at += text.startsWith('\r\n', at) ? 2 : 1;
    line += 1;
    if (row.length !== 1 || row[0] !== '') yield row;
    row = [];
  }
}

function cellValue(text) {
  const written = NUMBER.exec(text.replace(BLANK, ''));
  if (written === null) return text;
  const number = Number(written[0]);
  const exact = written[1] || written[2] ? Number.isFinite(number) : Number.isSafeInteger(number);
  return exact ? number : text;
}

function columnNames(cells) {
  const names = [];
  cells.forEach((cell, index) => {
    const first = cellText(cell, '').replace(BLANK, '') || `column_${index + 1}`;
    let name = first;
    for (let again = 2; names.includes(name); again += 1) name = `${first}_${again}`;
    names.push(name);
  });
  return names;
}

function record(names, row) {
  const length = Math.max(names.length, row.length);
  return Object.fromEntries(
    Array.from({ length }, (_, at) => [names[at] ?? `column_${at + 1}`, row[at] ?? '']),
  );
}

function cellText(cell, delimiter) {
  if (cell === null || cell === undefined) return '';
  if (typeof cell === 'boolean') return String(cell);
  if (typeof cell === 'number') {
    if (!Number.isFinite(cell)) throw new RangeError('a cell cannot hold NaN or Infinity');
    return String(cell);
  }
  if (typeof cell !== 'string') throw new TypeError('a cell holds text, a number, true, false or nothing');
  const quoted = delimiter && [delimiter, '"', '\r', '\n'].some((mark) => cell.includes(mark));
  return quoted ? `"${cell.replaceAll('"', '""')}"` : cell;
}

function collect(data, found) {
  if (typeof data === 'number') {
    if (Number.isFinite(data)) found.push(data);
  } else if (data !== null && typeof data === 'object') {
    for (const value of Object.values(data)) collect(value, found);
  }
}

/** Add with Neumaier's compensation, which both languages do bit for bit alike. */
function total(values) {
  let [sum, lost] = [0, 0];
  for (const value of values) {
    const added = sum + value;
    lost += Math.abs(sum) >= Math.abs(value) ? sum - added + value : value - added + sum;
    sum = added;
  }
  return sum + lost;
}

function quantileOf(ordered, q) {
  const position = (ordered.length - 1) * q;
  const low = Math.floor(position);
  const high = low + 1 < ordered.length ? low + 1 : low;
  return ordered[low] + (position - low) * (ordered[high] - ordered[low]);
}

function sorted(data, options) {
  return some(numbers(data, options), 1).sort((a, b) => a - b);
}

function some(values, least) {
  if (values.length < least) {
    throw new RangeError(`needs at least ${least} number${least > 1 ? 's' : ''}, the data has ${values.length}`);
  }
  return values;
}
