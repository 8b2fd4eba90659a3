"use strict";
// The selection of one image, as qafs_utils computes it. Every function has the name of its model in Python.
// Maps, weights and biases are the published numbers, bit by bit; the arithmetic is in double precision.

const PLANES = { half: 2, single: 4 }; // bytes of a number, stored one plane after the other

/** Numbers packed by `explorer.packed`: base64 of zlib of byte planes, lowest bytes first -> Float32Array. */
async function unpacked(text, kind) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = planes.length / PLANES[kind], bytes = new Uint8Array(planes.length);
  for (let plane = 0; plane < PLANES[kind]; plane++) {
    for (let i = 0; i < count; i++) bytes[i * PLANES[kind] + plane] = planes[plane * count + i];
  }
  if (kind === "single") return new Float32Array(bytes.buffer);
  const values = new Uint16Array(bytes.buffer), table = Float32Array.from({ length: 65536 }, (_, bits) => half(bits));
  return Float32Array.from(values, (bits) => table[bits]);
}

/** The number that 16 bits stand for (IEEE 754 half precision). */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return (sign * fraction) / 2 ** 24;
  return exponent === 31 ? NaN : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Data of the page with its arrays unpacked: models are {N_f: {maps, weight, bias, pixels, ...}}. */
async function opened(data) {
  for (const [n, model] of Object.entries(data.models)) {
    model.n = Number(n);
    model.pixels = model.height * model.width;
    model.maps = await unpacked(model.maps, "half"); // (B, N_f, H, W)
    model.weight = await unpacked(model.weight, "single"); // (C, N_f * H * W)
  }
  return data;
}

/** What every map adds to every logit: N_f rows of C numbers. The classifier is linear in the maps. */
function contributions(model, image) {
  const { n, pixels, maps, weight, bias } = model;
  return Array.from({ length: n }, (_, p) =>
    Float64Array.from(bias, (_, c) => {
      const of_map = (image * n + p) * pixels, of_weight = (c * n + p) * pixels;
      let sum = 0;
      for (let i = 0; i < pixels; i++) sum += maps[of_map + i] * weight[of_weight + i];
      return sum;
    }),
  );
}

/** Logits with exactly the kept maps, all others set to zero. The bias stays. */
function subsetLogits(added, bias, kept) {
  return Array.from(bias, (value, c) => added.reduce((sum, row, p) => (kept[p] ? sum + row[c] : sum), value));
}

/** The class of largest logit with all maps. */
function predicted(added, bias) {
  const logits = subsetLogits(added, bias, Array(added.length).fill(true));
  return logits.indexOf(Math.max(...logits));
}

/** Importance of each map: the gradient of the class's logit, here the weight, averaged over the pixels (Eq. 1). */
function importance(model, classIndex) {
  const { n, pixels, weight } = model;
  return Array.from({ length: n }, (_, p) => {
    let sum = 0;
    for (let i = 0; i < pixels; i++) sum += weight[(classIndex * n + p) * pixels + i];
    return Math.fround(sum / pixels);
  });
}

/** Cosines between some maps of an image (Eq. 3); those of a map that is zero everywhere are 0. */
function cosineMatrix(model, image, numbers) {
  const unit = numbers.map((p) => {
    const start = (image * model.n + p) * model.pixels;
    const map = Float64Array.from(model.maps.subarray(start, start + model.pixels));
    const norm = Math.sqrt(map.reduce((sum, value) => sum + value * value, 0));
    return norm > 0 ? map.map((value) => value / norm) : map;
  });
  return unit.map((a) => unit.map((b) => Math.min(1, Math.abs(a.reduce((sum, value, i) => sum + value * b[i], 0)))));
}

/** The problem of one image: candidates (maps of positive importance), field h and redundancy J. */
function problem(model, image, classIndex) {
  const alpha = importance(model, classIndex);
  const maps = alpha.map((value, p) => (value > 0 ? p : -1)).filter((p) => p >= 0);
  const most = Math.max(...maps.map((p) => alpha[p]));
  const redundancy = cosineMatrix(model, image, maps);
  const silent = redundancy.map((row, p) => row[p] === 0);
  return { alpha, maps, d: maps.length, field: maps.map((p) => -alpha[p] / most), redundancy, silent };
}

/** Energies of all 2^d selections at beta = 0 and beta = 1, and their sizes. Bit p of a selection is candidate p. */
function landscape({ d, field, redundancy }) {
  const at0 = new Float64Array(2 ** d), at1 = new Float64Array(2 ** d), size = new Uint8Array(2 ** d);
  const row = new Float64Array(2 ** d); // sum of the cosines of one map with those of each selection
  for (let p = 0; p < d; p++) {
    for (let q = 0; q < p; q++) {
      for (let rest = 0, bit = 1 << q; rest < bit; rest++) row[bit + rest] = row[rest] + redundancy[p][q];
    }
    for (let rest = 0, bit = 1 << p; rest < bit; rest++) {
      at0[bit + rest] = at0[rest] + 2 * row[rest]; // each pair counts twice: the sum is over all p != q
      at1[bit + rest] = at1[rest] + field[p];
      size[bit + rest] = size[rest] + 1;
    }
  }
  return { d, at0, at1, size };
}

const energyAt = (line, beta) => (1 - beta) * line.at0 + beta * line.at1;

/** The selection of least energy (Eq. 4) by comparing all, or all of k maps (k = 0: any number). */
function optimum({ at0, at1, size }, beta, k) {
  let best = -1, least = Infinity;
  for (let s = 0; s < at0.length; s++) {
    if (k && size[s] !== k) continue;
    const energy = (1 - beta) * at0[s] + beta * at1[s];
    // Of equal energies that which is better at a slightly larger beta. At beta = 0 this decides.
    if (energy < least || (energy === least && at1[s] < at1[best])) [best, least] = [s, energy];
  }
  return { selection: best, at0: at0[best], at1: at1[best] };
}

/** All optima for beta from 0 to 1, in order: pieces {low, high, selection, at0, at1}.
 *
 * For fixed bits the energy is a straight line in beta, so that the least energy is concave and made of straight
 * pieces. Solve at both ends, where the two lines cross, and again between, until nothing lies below the crossing.
 */
function betaPath(energies, k) {
  const slack = 2e-9 * Math.max(1, Math.abs(energies.at1[energies.at1.length - 1])), pieces = [];
  const search = (low, left, high, right) => {
    if (energyAt(left, high) <= energyAt(right, high) + slack) return pieces.push({ low, high, ...left });
    if (energyAt(right, low) <= energyAt(left, low) + slack) return pieces.push({ low, high, ...right });
    const cross = (right.at0 - left.at0) / (right.at0 - left.at0 + left.at1 - right.at1);
    const between = optimum(energies, cross, k);
    if (energyAt(between, cross) < energyAt(left, cross) - slack) {
      search(low, left, cross, between);
      return search(cross, between, high, right);
    }
    return pieces.push({ low, high: cross, ...left }, { low: cross, high, ...right });
  };
  search(0, optimum(energies, 0, k), 1, optimum(energies, 1, k));
  return pieces.reduce((joined, piece) => {
    const last = joined[joined.length - 1];
    if (last && last.selection === piece.selection) last.high = piece.high;
    else joined.push(piece);
    return joined;
  }, []);
}

/** Grad-CAM: ReLU of the weighted sum of an image's maps, H x W numbers. */
function gradCam(model, image, weights) {
  const cam = new Float64Array(model.pixels);
  weights.forEach((weight, p) => {
    const start = (image * model.n + p) * model.pixels;
    if (weight) for (let i = 0; i < model.pixels; i++) cam[i] += weight * model.maps[start + i];
  });
  return cam.map((value) => Math.max(0, value));
}

/** A CAM as a mask over the image: upsampled (bilinear), then scaled to [0, 1]: size * size numbers. */
function heatmap(cam, height, width, size) {
  const places = (length) =>
    Array.from({ length: size }, (_, i) => {
      const at = Math.max(0, ((i + 0.5) * length) / size - 0.5), low = Math.min(Math.floor(at), length - 1);
      return { low, high: Math.min(low + 1, length - 1), share: at - low };
    });
  const rows = places(height), columns = places(width), large = new Float64Array(size * size);
  let least = Infinity, most = -Infinity;
  for (let i = 0; i < size; i++) {
    const { low, high, share } = rows[i];
    for (let j = 0; j < size; j++) {
      const x = columns[j];
      const above = cam[low * width + x.low] * (1 - x.share) + cam[low * width + x.high] * x.share;
      const below = cam[high * width + x.low] * (1 - x.share) + cam[high * width + x.high] * x.share;
      const value = (large[i * size + j] = above * (1 - share) + below * share);
      if (value < least) least = value;
      if (value > most) most = value;
    }
  }
  const constant = most - least <= 1e-6 * Math.max(Math.abs(most), Math.abs(least));
  return large.map((value) => (constant ? 0 : (value - least) / (most - least)));
}

/** What the logits left by the kept maps say of a class: its probability, whether it stays first, and its margin. */
function classMeasures(added, bias, classIndex, kept) {
  const logits = subsetLogits(added, bias, kept), most = Math.max(...logits);
  const exponentials = logits.map((value) => Math.exp(value - most));
  const ahead = (values) => values[classIndex] - Math.max(...values.filter((_, c) => c !== classIndex));
  return {
    probability: exponentials[classIndex] / exponentials.reduce((sum, value) => sum + value),
    argmax: ahead(logits) > 0,
    margin: ahead(logits.map((value, c) => value - bias[c])), // of what the maps add, without the bias
  };
}

/** Mean cosine of every two of the selected candidates; null below two. */
function meanCosine(redundancy, bits) {
  const values = redundancy.flatMap((row, p) => row.filter((_, q) => q > p && bits[p] && bits[q]));
  return values.length ? values.reduce((sum, value) => sum + value) / values.length : null;
}

/** The k most important maps, N_f true or false; of equals the first. */
function topK(alpha, k) {
  const order = alpha.map((_, p) => p).sort((p, q) => alpha[q] - alpha[p] || p - q);
  return alpha.map((_, p) => order.indexOf(p) < k);
}

const kept = {}; // the last outcome of each stage: a change recomputes only what depends on it
function stage(name, key, make) {
  if (kept[name]?.key !== key) kept[name] = { key, value: make() };
  return kept[name].value;
}

/** Coefficients of the energy: Q_pp of n_p on the diagonal, Q_pq of n_p n_q above it. */
function matrix({ field, redundancy }, beta) {
  return redundancy.map((row, p) => row.map((J, q) => (q === p ? beta * field[p] : q > p ? 2 * (1 - beta) * J : 0)));
}

/** Everything about one choice: image, n_features, class_index (-1: the predicted one), beta, size (0: any). */
function answer(data, choice) {
  const { image, n_features, beta } = choice, model = data.models[n_features];
  const added = stage("added", `${n_features} ${image}`, () => contributions(model, image));
  const first = predicted(added, model.bias);
  const classIndex = choice.class_index < 0 ? first : choice.class_index;
  const key = `${n_features} ${image} ${classIndex}`;
  const found = stage("problem", key, () => problem(model, image, classIndex));
  if (!found.d) return { predicted: first, class_index: classIndex, problem: found };
  const size = Math.min(choice.size, found.d);
  const energies = stage("landscape", key, () => landscape(found));
  const path = stage("path", `${key} ${size}`, () => betaPath(energies, size));
  const free = stage("free", key, () => betaPath(energies, 0));
  const best = optimum(energies, beta, size);
  const bits = found.maps.map((_, p) => Boolean((best.selection >> p) & 1));
  const selected = Array(n_features).fill(false);
  found.maps.forEach((number, p) => (selected[number] = bits[p]));
  const { alpha } = found, k = bits.filter(Boolean).length;
  const sets = { all: Array(n_features).fill(true), selected, top_k: topK(alpha, k) };
  const measured = (set) => classMeasures(added, model.bias, classIndex, set);
  const ofCandidates = (set) => meanCosine(found.redundancy, found.maps.map((p) => set[p]));
  const weights = { selected: alpha.map((a, p) => (selected[p] ? a : 0)) };
  Object.assign(weights, { filtered: alpha.map((a) => Math.max(0, a)), all: alpha });
  const repeated = (row, p) => row.reduce((sum, J, q) => sum + J * (bits[q] && q !== p), 0);
  const cams = (name) => gradCam(model, image, weights[name]);
  return {
    predicted: first, class_index: classIndex, problem: found, size, k, bits, selected, path, free,
    energy: energyAt(best, beta), line: best, compared: energies.size.reduce((n, of) => n + (!size || of === size), 0),
    matrix: matrix(found, beta),
    gain: found.field.map((h) => -beta * h),
    cost: found.redundancy.map((row, p) => 2 * (1 - beta) * repeated(row, p)),
    scores: Object.fromEntries(Object.entries(sets).map(([name, set]) => [name, measured(set)])),
    likeness: Object.fromEntries(Object.entries(sets).map(([name, set]) => [name, ofCandidates(set)])),
    same: selected.every((bit, p) => bit === sets.top_k[p]),
    heatmaps: {
      selected: heatmap(cams("selected"), model.height, model.width, data.image_size),
      filtered: stage("filtered", key, () => heatmap(cams("filtered"), model.height, model.width, data.image_size)),
      all: stage("all", key, () => heatmap(cams("all"), model.height, model.width, data.image_size)),
    },
  };
}
