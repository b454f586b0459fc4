// Golden outputs of TensorFlow.js, for tests/formats/test_tfjs.py and tests/models/test_gantman.py.
//
//   mkdir tfjs && cd tfjs && npm install @tensorflow/tfjs@4.22.0
//   node ../tests/golden/make_tfjs.mjs ../tests/golden ../../shared/nsfwjs-mobilenet-v2
//
// Small networks with seeded weights are written as TensorFlow.js stores them, with what it answers
// for a drawn picture; of nsfwjs' own network only the answers are written.

import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const tf = createRequire(path.join(process.cwd(), 'x.js'))('@tensorflow/tfjs');
const [target, nsfwjs] = process.argv.slice(2);

// The same picture in tests/golden/patterns.py: whole numbers only, so that both agree to the bit.
function pattern(height, width, seed) {
  const values = [];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++)
        values.push((x * 7 * (c + 1) + y * 13 + ((x * y * (seed + 1)) >> 3) + 31 * c * seed) % 256);
  return tf.tensor3d(Int32Array.from(values), [height, width, 3], 'int32');
}

let state = 1;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
}

function drawWeights(model) {
  for (const weight of model.weights) {
    const positive = /variance|gamma/.test(weight.originalName);
    const values = Float32Array.from({ length: weight.shape.reduce((a, b) => a * b, 1) }, () =>
      positive ? 0.5 + random() : random() - 0.5
    );
    weight.write(tf.tensor(values, weight.shape));
  }
}

// Quantised as the converter of TensorFlow.js does it, the bytes one after the other.
function stored(specs, data, kind) {
  const parts = [];
  let offset = 0;
  const weights = specs.map(({ name, shape, dtype }) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const values = new Float32Array(data.slice(offset, offset + 4 * count));
    offset += 4 * count;
    if (kind === 'float32') {
      parts.push(Buffer.from(values.buffer));
      return { name, shape, dtype };
    }
    if (kind === 'float16') {
      parts.push(Buffer.from(Uint16Array.from(values, half).buffer));
      return { name, shape, dtype, quantization: { dtype: kind } };
    }
    const most = kind === 'uint8' ? 255 : 65535;
    const min = Math.min(...values);
    const scale = (Math.max(...values) - min) / most || 1;
    const whole = Array.from(values, (v) => Math.round((v - min) / scale));
    const array = kind === 'uint8' ? Uint8Array.from(whole) : Uint16Array.from(whole);
    parts.push(Buffer.from(array.buffer));
    return { name, shape, dtype, quantization: { dtype: kind, min, scale } };
  });
  return { weights, bytes: Buffer.concat(parts) };
}

// Nearest half float towards zero; weights here are never so small that they have none.
function half(value) {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0];
  const exponent = ((bits >>> 23) & 255) - 112;
  if (exponent <= 0) return (bits >>> 16) & 0x8000;
  return ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 0x3ff);
}

const L = tf.layers;

function chain() {
  const same = { padding: 'same', strides: 2 };
  return tf.sequential({
    layers: [
      L.conv2d({ inputShape: [13, 10, 3], filters: 5, kernelSize: 3, ...same, useBias: false }),
      L.batchNormalization({ epsilon: 0.01 }),
      L.reLU({ maxValue: 6 }),
      L.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2, ...same, activation: 'relu6' }),
      L.separableConv2d({ filters: 7, kernelSize: [3, 2], padding: 'same' }),
      L.batchNormalization({ scale: false, center: false }),
      L.activation({ activation: 'relu' }),
      L.maxPooling2d({ poolSize: 3, ...same }),
      L.flatten(),
      L.dense({ units: 6, activation: 'relu' }),
      L.dropout({ rate: 0.5 }),
      L.dense({ units: 4, activation: 'softmax' }),
    ],
  });
}

function graph() {
  const images = tf.input({ shape: [11, 14, 3] });
  const padded = L.zeroPadding2d({ padding: [[0, 1], [2, 1]] }).apply(images);
  const one = L.conv2d({ filters: 4, kernelSize: 3, strides: 2 }).apply(padded);
  const two = L.conv2d({ filters: 4, kernelSize: [3, 2], dilationRate: [1, 2], padding: 'same' });
  const added = L.add().apply([one, two.apply(one), L.leakyReLU({ alpha: 0.2 }).apply(one)]);
  const average = L.averagePooling2d({ poolSize: [2, 3], strides: 1, padding: 'same' });
  const joined = L.concatenate().apply([added, average.apply(added), two.apply(added)]);
  const shaped = L.reshape({ targetShape: [4, 7, 15] }).apply(pick(joined));
  const pooled = L.globalAveragePooling2d({}).apply(shaped);
  const out = L.dense({ units: 3, activation: 'sigmoid' }).apply(pooled);
  return tf.model({ inputs: images, outputs: out });
}

function pick(value) {
  // 5 x 8 x 12 values into 4 x 7 x 15: a valid window first, so that the numbers agree.
  return L.conv2d({ filters: 12, kernelSize: 1 }).apply(
    L.averagePooling2d({ poolSize: [1, 2], strides: [1, 1], padding: 'valid' }).apply(value)
  );
}

function nested() {
  const images = tf.input({ shape: [9, 9, 3] });
  const conv = L.conv2d({ filters: 3, kernelSize: 3, strides: 3, padding: 'same' }).apply(images);
  const inner = tf.model({ inputs: images, outputs: L.globalMaxPooling2d({}).apply(conv) });
  return tf.sequential({ layers: [inner, L.dense({ units: 5 }), L.softmax()] });
}

async function answers(model, images) {
  const dense = model.layers.filter((layer) => layer.getClassName() === 'Dense').at(-1);
  const inner = tf.model({ inputs: model.inputs, outputs: dense.input });
  const list = (t) => Array.from(t.dataSync());
  return { probabilities: list(model.predict(images)), embedding: list(inner.predict(images)) };
}

const kinds = { chain: 'uint8', graph: 'uint16', nested: 'float16', chain_exact: 'float32' };
const makers = { chain, graph, nested, chain_exact: chain };
for (const [name, kind] of Object.entries(kinds)) {
  const drawn = makers[name]();
  drawWeights(drawn);
  let saved;
  await drawn.save(
    tf.io.withSaveHandler(async (artifacts) => {
      saved = artifacts;
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
    })
  );
  const { weights, bytes } = stored(saved.weightSpecs, saved.weightData, kind);
  const cut = Math.floor(bytes.length / 3); // two shards, the border inside a weight
  const folder = path.join(target, 'tfjs', name);
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'shard1'), bytes.subarray(0, cut));
  fs.writeFileSync(path.join(folder, 'shard2'), bytes.subarray(cut));
  const json = {
    format: 'layers-model',
    modelTopology: saved.modelTopology,
    weightsManifest: [{ paths: ['shard1', 'shard2'], weights }],
  };
  fs.writeFileSync(path.join(folder, 'model.json'), JSON.stringify(json) + '\n');
  const data = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  const artifacts = { modelTopology: saved.modelTopology, weightSpecs: weights, weightData: data };
  const model = await tf.loadLayersModel(tf.io.fromMemory(artifacts));
  const [height, width] = model.inputs[0].shape.slice(1);
  const picture = pattern(height, width, 1).toFloat().div(255).expandDims(0);
  const golden = await answers(model, picture);
  fs.writeFileSync(path.join(folder, 'golden.json'), JSON.stringify(golden) + '\n');
}

// What nsfwjs does with a picture: to 0..1, resized with aligned corners, no antialias.
function prepared(picture, size) {
  const unit = picture.toFloat().div(tf.scalar(255));
  if (picture.shape[0] === size && picture.shape[1] === size) return unit;
  return tf.image.resizeBilinear(unit, [size, size], true);
}

const resized = [[17, 23, 8], [5, 4, 9], [1, 7, 6]].map(([height, width, size]) => ({
  height, width, size, values: Array.from(prepared(pattern(height, width, 3), size).dataSync()),
}));
fs.writeFileSync(path.join(target, 'tfjs', 'resized.json'), JSON.stringify(resized) + '\n');

if (nsfwjs) {
  const json = JSON.parse(fs.readFileSync(path.join(nsfwjs, 'model.json')));
  const shard = fs.readFileSync(path.join(nsfwjs, 'group1-shard1of1'));
  const model = await tf.loadLayersModel(tf.io.fromMemory({
    modelTopology: json.modelTopology,
    weightSpecs: json.weightsManifest[0].weights,
    weightData: shard.buffer.slice(shard.byteOffset, shard.byteOffset + shard.length),
  }));
  const out = [];
  for (const [height, width, seed] of [
    [224, 224, 0], [224, 224, 1], [224, 224, 5], [200, 300, 2], [611, 97, 3], [30, 40, 4],
  ]) {
    const picture = prepared(pattern(height, width, seed), 224).expandDims(0);
    out.push({ height, width, seed, ...(await answers(model, picture)) });
  }
  fs.writeFileSync(path.join(target, 'tfjs', 'nsfwjs.json'), JSON.stringify(out) + '\n');
}
