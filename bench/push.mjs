/**
 * From a changed line to a digest in a registry on this machine: `docker-push` beside ko and beside the tutorial's
 * `docker build` and `docker push`; an unchanged push; the memory that a large layer takes.
 *
 * Started with `--memory <image.tar> <record>` it compresses the layers once and prints the process's peak memory in KiB.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assemble, makeFile } from './assembly.mjs';
import { attempt, findKo } from './go-tools.mjs';
import { Registry, registryNeeds } from './registry.mjs';
import { less, median, milliseconds, ratio, spread, table, takeTurns, timed } from './samples.mjs';
import { tutorialNeeds, withTutorial } from './tutorial.mjs';

const self = fileURLToPath(import.meta.url);

/** Why it can't be measured here; undefined where it can. */
export function pushNeeds() {
  return registryNeeds() ?? tutorialNeeds();
}

export async function push(workspace, rounds) {
  const registry = await Registry.start();
  const folder = mkdtempSync(join(tmpdir(), 'slim-go-bench-push-'));
  try {
    const times = await withTutorial(workspace, (build) => changed(workspace, registry.domain, build, rounds));
    return [times, await unchanged(workspace, registry.domain, rounds * 3), await memory(folder)].join('\n\n');
  } finally {
    registry.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function changed(workspace, domain, build, rounds) {
  const app = workspace.apps.hello;
  const afterEdit = (work) => () => {
    workspace.edit('hello');
    return timed(work);
  };
  const slim = () => pushed(workspace.nx('run', `${app}:docker-push`, `--repository=${domain}/slim/hello`), 'pushed ');
  slim();
  const ko = attempt(findKo);
  const environment = {
    KO_DOCKER_REPO: `${domain}/ko/hello`,
    // What slim-go pushed is as small a base as there can be.
    KO_DEFAULTBASEIMAGE: `${domain}/slim/hello`,
    GOFLAGS: '-trimpath',
    CGO_ENABLED: '0',
  };
  const reference = `${domain}/tutorial/hello:latest`;
  const samples = await takeTurns(rounds, {
    slim: afterEdit(slim),
    noop: afterEdit(() => workspace.nx('run', `${app}:noop-docker-build`)),
    docker: afterEdit(() => {
      build('hello', reference);
      workspace.run('docker', ['push', '-q', reference]);
    }),
    ...(ko.found && {
      ko: afterEdit(() => workspace.run(ko.found, ['build', '--bare', '--sbom=none', `./${app}`], environment)),
    }),
  });
  const own = less(samples.slim, samples.noop);
  return table(
    ['one line changed (hello), until a registry on this machine has it', 'time', 'slim-go beside it'],
    [
      ['`nx run hello:docker-push`', milliseconds(samples.slim), ''],
      ['of which Nx with three executors that do nothing', milliseconds(samples.noop), ''],
      ['`docker build` and `docker push`', milliseconds(samples.docker), spread(ratio(samples.slim, samples.docker))],
      ko.found
        ? ['`ko build`', milliseconds(samples.ko), spread(ratio(samples.slim, samples.ko))]
        : ['`ko build`', `not measured: ${ko.missing}`, ''],
      ...(ko.found ? [['slim-go less Nx', milliseconds(own), `${spread(ratio(own, samples.ko))} of ko`]] : []),
      ['', '', `${spread(ratio(own, samples.docker))} of docker, less Nx (goal: 0.10)`],
    ],
  );
}

async function unchanged(workspace, domain, rounds) {
  const app = workspace.apps.hello;
  const push = () => workspace.nx('run', `${app}:docker-push`, `--repository=${domain}/slim/hello`);
  push();
  const noop = () => timed(() => workspace.nx('run', `${app}:noop-after-image`));
  const samples = await takeTurns(rounds, {
    slim: () => timed(() => pushed(push(), 'already there')),
    noop,
    again: noop,
  });
  return table(
    ['nothing changed (hello), Nx daemon off', 'time'],
    [
      ['`nx run hello:docker-push`', milliseconds(samples.slim)],
      ['the same with an executor that does nothing in its place', milliseconds(samples.noop)],
      ['**over it (goal: 50 ms)**', `**${milliseconds(less(samples.slim, samples.noop))}**`],
      ['noise: the same no-op run less itself', milliseconds(less(samples.again, samples.noop))],
    ],
  );
}

function pushed(output, text) {
  if (!output.includes(text)) throw new Error(`expected "${text}" in:\n${output}`);
}

async function memory(folder) {
  const peak = async (sizeBytes) => {
    const [source, archive, record] = ['binary', 'image.tar', 'image.json'].map((name) => join(folder, name));
    makeFile(source, sizeBytes);
    writeFileSync(record, JSON.stringify(await assemble(source, archive)));
    return [1, 2].map(() => Number(execFileSync(process.execPath, [self, '--memory', archive, record])) / 1024);
  };
  const [small, large] = [await peak(5_000_000), await peak(500_000_000)];
  return table(
    ['peak memory of a process that compresses the layer', 'MiB'],
    [
      ['5 MB', spread(small, 1)],
      ['500 MB', spread(large, 1)],
      ['growth', (median(large) - median(small)).toFixed(1)],
    ],
  );
}

if (process.argv[1] === self && process.argv[2] === '--memory') {
  const { makePushable } = createRequire(import.meta.url)('../dist/image/pushable.js');
  const [archive, record] = process.argv.slice(3);
  const folder = mkdtempSync(join(tmpdir(), 'slim-go-bench-layers-'));
  try {
    await makePushable(
      { archive, record: JSON.parse(readFileSync(record, 'utf8')), compression: 'gzip' },
      folder,
      new AbortController().signal,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(process.resourceUsage().maxRSS);
}
