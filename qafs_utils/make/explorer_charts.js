"use strict";
// The two charts of the page, as SVG, and what all parts of the page write and paint with.

const at = (id) => document.getElementById(id);
let data, choice, last; // data of the page, the choice, and the `answer` that is shown

/** A number with fixed digits and a proper minus sign; never "minus zero". */
function text(value, digits) {
  const shown = value.toFixed(digits);
  return (Number(shown) === 0 ? (0).toFixed(digits) : shown).replace("-", "\u2212");
}

const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** Paint numbers in [0, 1] on a canvas of that many pixels; colours: 256 times red, green and blue. */
function paint(canvas, values, width, height, colours) {
  const pixels = new ImageData(width, height);
  for (let i = 0; i < values.length; i++) {
    const colour = 3 * Math.round(255 * values[i]);
    for (let part = 0; part < 3; part++) pixels.data[4 * i + part] = colours[colour + part];
    pixels.data[4 * i + 3] = 255;
  }
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/** An element of an SVG as text, from a dict of its attributes. */
function element(name, attributes, content = "") {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${value}"`);
  return `<${name}${written.join("")}>${content}</${name}>`;
}

const square = (x, y, side, more) => element("rect", { x, y, width: side, height: side, ...more });
const label = (x, y, content, anchor = "middle", more = {}) =>
  element("text", { x, y, "text-anchor": anchor, "pointer-events": "none", ...more }, content);

/** Widths of both charts, read before the page changes: reading makes the browser lay it out. */
const readWidths = () => ["qubo", "path"].forEach((id) => (widths[id] = at(id).clientWidth || widths[id]));
const widths = { qubo: 500, path: 600 };

let cell = [0, 0]; // row and column of the matrix that the line below it tells of

/** The matrix as shown: coefficients of the energy at this beta, or cosines with the field on the diagonal. */
function shownMatrix({ problem, matrix: coefficients }) {
  if (document.querySelector('[name="shown"]:checked').value === "matrix") return coefficients;
  return problem.redundancy.map((row, p) => row.map((J, q) => (q === p ? problem.field[p] : q > p ? J : 0)));
}

/** The problem as a triangle of cells: blue lowers the energy, red raises it, the framed ones add up to it. */
function showMatrix(found) {
  const { problem: { maps, d }, bits } = found, values = shownMatrix(found), room = 34; // for the maps' numbers
  const width = Math.min(widths.qubo, 544), side = Math.min(64, (width - room) / d);
  const reach = Math.max(...values.flat().map(Math.abs)) || 1, colours = data.colours.matrix;
  const cells = [], frames = [], names = [];
  for (let p = 0; p < d; p++) {
    const style = `font-weight:${bits[p] ? 700 : 400}`, middle = (p + 0.5) * side + 5;
    names.push(label(room + p * side - 5, middle, maps[p], "end", { style }));
    for (let q = p; q < d; q++) {
      const x = room + q * side, y = p * side, share = values[p][q] / reach;
      const colour = 3 * Math.round(127.5 * (1 + share)), fill = `rgb(${colours.slice(colour, colour + 3)})`;
      cells.push(square(x, y, side, { fill, stroke: "var(--cell-line)", "data-cell": `${p},${q}` }));
      const written = { style: `fill:${Math.abs(share) > 0.6 ? "#fff" : "#111"}` };
      if (side >= 42) cells.push(label(x + side / 2, middle, text(values[p][q], 2), "middle", written));
      if (bits[p] && bits[q]) frames.push(square(x + 2, y + 2, side - 4, { class: "frame" }));
    }
  }
  cell = cell.map((index) => Math.min(index, d - 1));
  const cursor = square(room + cell[1] * side + 5, cell[0] * side + 5, side - 10, { class: "cursor" });
  const svg = at("qubo");
  svg.setAttribute("viewBox", `0 0 ${width} ${side * d + 4}`);
  svg.setAttribute("aria-label", `matrix of ${plural(d, "candidate")}; arrow keys move from cell to cell`);
  svg.innerHTML = [...cells, ...frames, ...names, cursor].join("");
  tellCell(found);
}

/** The line below the matrix: what one cell holds, in words. */
function tellCell({ problem, bits, matrix: coefficients }) {
  const [p, q] = cell, [first, second] = [problem.maps[p], problem.maps[q]], both = bits[p] && bits[q];
  const value = text(coefficients[p][q], 3);
  const what = p === q
    ? `Map ${first}: field h = ${text(problem.field[p], 3)}; coefficient \u03b2 h = ${value}`
    : `Maps ${first} and ${second}: cosine J = ${text(problem.redundancy[p][q], 3)}; ` +
      `coefficient 2(1\u2212\u03b2) J = ${value}`;
  at("cell").textContent =
    `${what}; ${both ? "counts" : "does not count"} in the energy. Blue lowers the energy, red raises it. ` +
    `The framed cells add up to the energy. Point, tap or use arrow keys to read a cell.`;
}

function moveCell(p, q) {
  if (p < 0 || q >= last.problem.d || q < p) return;
  cell = [p, q];
  showMatrix(last);
}

const bitCount = (selection) => selection.toString(2).replaceAll("0", "").length;
const EDGES = { left: 52, right: 12, top: 22, bottom: 42, height: 270 }; // of the chart of the envelope, in pixels

/** The scales of the chart: from beta and energy to pixels, and the energies that get a line. */
function scales({ path, free }, width) {
  const least = Math.min(free.at(-1).at1, path.at(-1).at1), inner = EDGES.height - EDGES.top - EDGES.bottom;
  const reach = Math.min(Math.max(0, path[0].at0), -0.5 * least); // far above the envelope there is nothing to see
  const step = 10 ** Math.floor(Math.log10(reach - least)), unit = (reach - least) / step > 4 ? step : step / 2;
  const levels = [];
  for (let i = Math.floor(reach / unit); i * unit >= least; i--) levels.push(i * unit);
  return {
    x: (beta) => EDGES.left + beta * (width - EDGES.left - EDGES.right),
    y: (energy) => EDGES.top + ((reach - energy) / (reach - least)) * inner,
    levels, digits: unit < 1 ? 1 : 0,
  };
}

/** The envelope: least energy over beta, its break points, and the present selection's straight line. */
function showPath(found) {
  const { path, free, line, energy, size } = found, { left, right, top, bottom, height } = EDGES;
  const width = Math.min(widths.path, 832), { x, y, levels, digits } = scales(found, width);
  const ends = (pieces) => [...pieces.map((piece) => [piece.low, energyAt(piece, piece.low)]), [1, pieces.at(-1).at1]];
  const curve = (pieces, kind) => {
    const points = ends(pieces).map(([beta, value]) => `${x(beta)},${y(value)}`);
    return element("polyline", { class: kind, points: points.join(" ") });
  };
  const straight = (x1, y1, x2, y2, kind) => element("line", { x1, y1, x2, y2, class: kind });
  const grid = levels.map((value) => {
    const number = label(left - 8, y(value) + 4, text(value, digits), "end");
    return straight(left, y(value), width - right, y(value), "grid") + number;
  });
  const below = height - bottom + 18;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((beta) => label(x(beta), below, beta, beta === 1 ? "end" : "middle"));
  const breaks = path.slice(1).map(({ low }, i) =>
    element("circle", { cx: x(low), cy: y(energyAt(path[i + 1], low)), r: 4.5, class: "break" }));
  const counts = size ? [] : path.filter(({ low, high }) => x(high) - x(low) > 16).map((piece) => {
    const middle = (piece.low + piece.high) / 2;
    return label(x(middle), y(energyAt(piece, middle)) + 22, bitCount(piece.selection), "middle", { class: "quiet" });
  });
  const box = { x: left, y: top - 6, width: width - left - right, height: height - top - bottom + 8 };
  const present = straight(x(0), y(line.at0), x(1), y(line.at1), "present"), now = x(choice.beta);
  const others = size ? curve(free, "free") : "";
  at("path").setAttribute("viewBox", `0 0 ${width} ${height}`);
  const told = `least energy over beta: ${plural(path.length - 1, "break point")}, listed below`;
  at("path").setAttribute("aria-label", told);
  at("path").innerHTML = [
    element("clipPath", { id: "inside" }, element("rect", box)), ...grid, ...ticks,
    element("g", { "clip-path": "url(#inside)" }, present + others), curve(path, "envelope"), ...counts, ...breaks,
    straight(now, top - 6, now, height - bottom, "now"),
    element("path", { d: `M${now} ${y(energy) - 9}l9 9l-9 9l-9 -9z`, class: "diamond" }),
    label(left, 12, "least energy, lower is better", "start"), label(x(0.5), height - 6, "trade-off \u03b2"),
  ].join("");
  at("path_key").textContent = size
    ? `Least energy of exactly ${plural(size, "map")}; dotted: of any number. Diamond: the present \u03b2.`
    : "The numbers below the line: how many maps are selected. Diamond: the present \u03b2.";
  showPieces(found);
}

/** The pieces of the envelope as a table. */
function showPieces({ path, problem }) {
  at("pieces_title").textContent = `${plural(path.length - 1, "break point")}: which maps at which \u03b2`;
  at("pieces").innerHTML = path.map(({ low, high, selection }) => {
    const numbers = problem.maps.filter((_, p) => (selection >> p) & 1).join(", ");
    const cells = [low.toFixed(4), high.toFixed(4), bitCount(selection), numbers];
    return `<tr>${cells.map((content) => `<td>${content}</td>`).join("")}</tr>`;
  }).join("");
}
