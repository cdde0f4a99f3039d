// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Dockerfiles write variables as templates do.
import type { DockerfileCase } from './embedded-corpus.testdata';

/** A small generator of numbers with a seed (mulberry32), so that a failure can be repeated. */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
}

const sources = [
  'a.txt',
  'b.txt',
  'hello',
  'dir',
  'dir/',
  'dir/sub',
  './dir/one.txt',
  '/etc',
  'void',
  '*.txt',
  'd*',
  'dir/*/*',
  'link-file',
  'link-dir',
  'x[[]1].txt',
  'plain.tar',
  'zipped.tgz',
  'empty',
  '.',
  'dist/$TARGETPLATFORM/app',
  '${F:-a.txt}',
  'dir/t[v-x]o.*',
];
const stageSources = [
  '/',
  '/data',
  '/etc',
  '/data/*',
  '/data/sub',
  '/*/*.txt',
  '/data/one.txt',
  '/etc/passwd',
  '/dat?',
  '/x',
];
const destinations = [
  '/',
  '/data',
  '/data/',
  '/x',
  '/x/',
  '.',
  './',
  'rel',
  'rel/',
  '/w/new/',
  '/deep/er/file',
  '/data/sub',
  '/data/sub/.',
  '$D/',
  '/x/../y',
  '..',
];
const values = [
  '1',
  'two',
  '"a b"',
  "'$A'",
  '$A',
  '"${A}x"',
  '${U:-none}',
  '${A:+set}',
  'a\\ b',
  '"q\\"q"',
  '\\$A',
  '$A$B',
  '""',
  '${B:-${A}}',
  "'it is'",
  'x=y',
];
const names = ['A', 'B', 'C', 'D', 'F', 'PATH_X'];
const folders = ['/w', 'sub', '/deep/er', '..', '$D', '/data', '/', '"/q d"'];
const users = ['0', '12', '12:34', 'web', 'web:staff', 'nobody'];

/** A random Dockerfile over `writeContext`'s files; nearly all are valid. The same seed gives the same file. */
export function randomDockerfile(seed: number): DockerfileCase {
  const random = randomNumbers(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const chance = (probability: number) => random() < probability;
  const stages = 1 + Math.floor(random() * 3);
  const text: string[] = [];
  if (chance(0.3)) text.push('ARG G=global', 'ARG BASE=scratch');
  const keyword = (word: string) => (chance(0.1) ? word.toLowerCase() : word);
  const instruction = (stage: number): string => {
    const kind = random();
    if (kind < 0.4) {
      const fromStage = stage > 0 && chance(0.4);
      const flags = [
        ...(fromStage ? [`--from=${chance(0.5) ? `s${stage - 1}` : stage - 1}`] : []),
        ...(chance(0.2) ? [`--chown=${pick(['1', '3:4', '0:0', '65532:65532'])}`] : []),
        ...(chance(0.15) ? [`--chmod=${pick(['755', '0755'])}`] : []),
      ];
      const list = [
        pick(fromStage ? stageSources : sources),
        ...(chance(0.2) ? [pick(fromStage ? stageSources : sources)] : []),
      ];
      if (chance(0.1)) return `COPY ${flags.join(' ')} ${JSON.stringify([...list, pick(destinations)])}`;
      return `${keyword('COPY')} ${[...flags, ...list].join(chance(0.1) ? ' \\\n  ' : ' ')} ${pick(destinations)}`;
    }
    if (kind < 0.46) return `ADD ${pick(sources)} ${pick(destinations)}`;
    if (kind < 0.58)
      return `${keyword('ENV')} ${chance(0.8) ? `${pick(names)}=${pick(values)} ${pick(names)}=${pick(values)}` : `${pick(names)} ${pick(values)}  tail`}`;
    if (kind < 0.66) return `ARG ${pick(names)}${chance(0.7) ? `=${pick(values)}` : ''}`;
    if (kind < 0.72) return `LABEL ${pick(names)}.l=${pick(values)} "k ${pick(names)}"=${pick(values)}`;
    if (kind < 0.8) return `WORKDIR ${pick(folders)}`;
    if (kind < 0.84) return `USER ${pick(users)}`;
    if (kind < 0.87) return `EXPOSE ${pick(['80', '443/tcp 53/udp', '8000-8003', '${P:-99}'])}`;
    if (kind < 0.89) return `VOLUME ${pick(['/v', '["/v1", "/v2"]', '/v /vol/$A'])}`;
    if (kind < 0.93) return `CMD ${pick(['["x", "y z"]', 'echo  $A', '[]', "['bad']"])}`;
    if (kind < 0.96) return `ENTRYPOINT ${pick(['["/hello"]', 'exec /hello "$A"', '[]'])}`;
    return pick([
      'STOPSIGNAL SIGTERM',
      'STOPSIGNAL 9',
      'SHELL ["/s", "-c"]',
      'HEALTHCHECK NONE',
      'HEALTHCHECK --interval=2s CMD x  y',
      'ARG TARGETPLATFORM',
      '# comment',
      'ARG G',
    ]);
  };
  for (let stage = 0; stage < stages; stage++) {
    const base = stage > 0 && chance(0.3) ? `s${stage - 1}` : 'scratch';
    text.push(`${keyword('FROM')} ${base} AS s${stage}`, 'ARG TARGETPLATFORM', 'COPY etc /etc', 'COPY dir /data');
    if (chance(0.5)) text.push('ENV D=/w A=a.txt');
    const count = 1 + Math.floor(random() * 8);
    for (let index = 0; index < count; index++) text.push(instruction(stage));
  }
  text.push('COPY a.txt /');
  return {
    name: `seed ${seed}`,
    dockerfile: `${text.join('\n')}\n`,
    ...(chance(0.3) && { buildArgs: { A: 'b.txt', G: 'given' } }),
  };
}
