class Point { constructor() { this.x = 1; } get y() { return 2; } }
const copy = structuredClone(new Point()); return [copy, copy instanceof Point, structuredClone(null), structuredClone('x')];
