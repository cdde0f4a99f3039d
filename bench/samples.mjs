/** Repeated measurements: taken in turns, so that what else the machine does falls on all alike, and summed up. */

/**
 * Runs every measurement once a round, each round starting with another one. A measurement returns its milliseconds.
 * @param warmUps first rounds that are thrown away
 * @returns {Promise<Record<string, number[]>>} the samples of each, in the order of the rounds
 */
export async function takeTurns(rounds, measurements, warmUps = 1) {
  const names = Object.keys(measurements);
  const samples = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = -warmUps; round < rounds; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(round + warmUps + turn) % names.length];
      const sample = await measurements[name]();
      if (round >= 0) samples[name].push(sample);
    }
  }
  return samples;
}

/** Wall-clock milliseconds of `work`. */
export async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

export function median(samples) {
  const sorted = [...samples].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2;
}

/** `a` less all of `others`, round by round: what the machine did in that round falls on all of them. */
export function less(a, ...others) {
  return a.map((sample, round) => others.reduce((rest, other) => rest - other[round], sample));
}

export function ratio(a, b) {
  return a.map((sample, round) => sample / b[round]);
}

/** `231 ms (210..260)`: median, least and most. */
export function milliseconds(samples) {
  return `${spread(samples, 0).replace(' (', ' ms (')}`;
}

/** `2.31 s (2.10..2.60)` */
export function seconds(samples) {
  return spread(
    samples.map((sample) => sample / 1000),
    2,
  ).replace(' (', ' s (');
}

/** `1.20 (1.10..1.31)`: median, least and most. */
export function spread(samples, digits = 2) {
  const [least, most] = [Math.min(...samples), Math.max(...samples)];
  return `${median(samples).toFixed(digits)} (${least.toFixed(digits)}..${most.toFixed(digits)})`;
}

export function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
