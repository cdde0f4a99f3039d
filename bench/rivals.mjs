/**
 * Other Nx plugins beside slim-go, on the same apps: a go.work and a go.mod for each app and library, the layout from which
 * @naxodev/gonx and @nx-go/nx-go infer projects. Each is installed with the newest Nx that it says it works with.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Ko } from './fleet.mjs';
import { Fleet, goFlags, Installation, label, removeImages } from './fleet-workspace.mjs';
import { attempt, findBuildx, reasonOf } from './go-tools.mjs';
import { bars } from './plot.mjs';
import { Registry, registryNeeds } from './registry.mjs';
import { median, ratio, seconds, spread, table, takeTurns, timed } from './samples.mjs';
import { tutorialNeeds, withTutorial } from './tutorial.mjs';

/** With the newest Nx that each allows: gonx ^23, nx-container <24, @nx/docker its own, nx-go's devkit <23. */
const installs = {
  nx23: [
    'nx@23.2.1',
    '@nx/devkit@23.2.1',
    '@nx/js@23.2.1',
    '@nx/docker@23.2.1',
    '@naxodev/gonx@4.1.1',
    '@nx-tools/nx-container@7.3.0',
    'dotenv@16',
  ],
  nx22: ['nx@22.7.12', '@nx/devkit@22.7.12', '@nx-go/nx-go@4.1.1'],
};

const scenarios = {
  app: { title: 'one line of one app', change: (one) => one.editApp() },
  library: { title: 'the library of all apps', change: (one) => one.editLibrary() },
  nothing: { title: 'nothing' },
};

/** What @nx/docker and nx-container are given: the binary that gonx built, in the smallest image there is. */
const prebuilt = (app) => `FROM scratch
LABEL ${label}
COPY dist/${app} /${app}
ENTRYPOINT ["/${app}"]
`;

/** @returns Markdown and a plot */
export async function rivals(rounds, apps = 10) {
  const own = new Installation();
  const made = [own];
  const skipped = [];
  const installed = (packages, ...who) => {
    const { found, missing } = attempt(() => new Installation(packages));
    if (found) made.push(found);
    else skipped.push(`- ${who.join(', ')}: skipped, npm can't install it: ${missing}`);
    return found;
  };
  const fleets = [];
  const fleet = (...args) => {
    const one = new Fleet(...args);
    fleets.push(one);
    return one;
  };
  const nx23 = installed(installs.nx23, '@naxodev/gonx', '@nx/docker', '@nx-tools/nx-container');
  const nx22 = installed(installs.nx22, '@nx-go/nx-go');
  const buildx = attempt(findBuildx);
  if (buildx.missing) skipped.push(`- @nx-tools/nx-container: skipped, no buildx: ${buildx.missing}`);
  const options = { apps, layout: 'workspace' };
  try {
    const contenders = [
      {
        name: 'slim-go',
        one: fleet(own, { ...options, nxJson: { plugins: ['slim-go'] } }),
        nx: own.version('nx'),
        binary: (app) => `apps/${app}/${linuxFolder}/${app}`,
        images: { 'slim-go': { target: 'docker-build' } },
      },
    ];
    if (nx23) {
      const nxJson = { plugins: ['@naxodev/gonx', '@nx/docker'] };
      const one = fleet(nx23, { ...options, nxJson, dockerfile: prebuilt });
      for (const app of one.apps) one.write(`apps/${app}/project.json`, gonxProject(app));
      // The engine's BuildKit where the command knows buildx, the classic builder otherwise.
      one.env = { ...one.env, ...(buildx.found && { DOCKER_CONFIG: buildx.found }) };
      contenders.push({
        name: '@naxodev/gonx',
        one,
        nx: nx23.version('nx'),
        binary: (app) => `apps/${app}/dist/${app}`,
        images: {
          '@nx/docker over gonx': { target: 'docker:build', referenceOf: (app) => `apps-${app}:latest` },
          ...(buildx.found && {
            '@nx-tools/nx-container over gonx': {
              target: 'container',
              referenceOf: (app) => `container-${app}:latest`,
            },
          }),
        },
      });
    }
    if (nx22) {
      const one = fleet(nx22, { ...options, nxJson: { plugins: ['@nx-go/nx-go'] } });
      for (const app of one.apps) one.write(`apps/${app}/project.json`, nxGoProject(app));
      contenders.push({
        name: '@nx-go/nx-go',
        one,
        nx: nx22.version('nx'),
        binary: (app) => `dist/apps/${app}`,
        images: {},
      });
    }
    for (const contender of [...contenders]) {
      const { missing } = attempt(() => contender.one.all('build'));
      if (missing === undefined) continue;
      contenders.splice(contenders.indexOf(contender), 1);
      skipped.push(`- ${contender.name}: skipped, its build fails: ${missing}`);
    }
    const graph = await graphs(contenders, rounds * 2);
    const built = await builds(contenders, rounds);
    const imaged = await images(contenders, rounds, skipped);
    const sizes = await bytes(own, contenders, skipped);
    const text = [
      table(['', 'Nx', '`nx show projects`', '`nx graph --file`'], graph),
      built,
      imaged.text,
      sizes,
      `${apps} apps and two libraries under a go.work, Nx daemon off, every plugin's own defaults, CGO_ENABLED=0 and slim-go's flags
for all; ratios are slim-go's time by the other's. *Stale* means that the command succeeded and the program is still the one
from before the edit. gonx runs \`go generate\` before every build, as it is inferred there. @nx/docker and nx-container bring no
Go: gonx builds, and their Dockerfile copies what it built.`,
      ...(skipped.length > 0 ? [skipped.join('\n')] : []),
    ].join('\n\n');
    return { text, plots: imaged.plots };
  } finally {
    for (const one of [...fleets, ...made]) one.remove();
    removeImages();
  }
}

const linuxFolder = `dist/linux/${{ x64: 'amd64', arm64: 'arm64' }[process.arch]}`;

function gonxProject(app) {
  const container = {
    executor: '@nx-tools/nx-container:build',
    dependsOn: ['build'],
    options: {
      engine: 'docker',
      context: `apps/${app}`,
      file: `apps/${app}/Dockerfile`,
      load: true,
      quiet: true,
      provenance: 'false',
      tags: [`container-${app}:latest`],
    },
  };
  const build = { options: { outputPath: `apps/${app}/dist/`, flags: goFlags, env: { CGO_ENABLED: '0' } } };
  return JSON.stringify({ name: app, targets: { build, container } });
}

function nxGoProject(app) {
  // It joins them into a line for a shell.
  const build = { options: { flags: goFlags.map((flag) => JSON.stringify(flag)), env: { CGO_ENABLED: '0' } } };
  return JSON.stringify({ name: app, targets: { build } });
}

async function graphs(contenders, rounds) {
  const turns = (...args) =>
    takeTurns(
      rounds,
      Object.fromEntries(contenders.map(({ name, one }) => [name, () => timed(() => one.nx(...args))])),
    );
  const [show, graph] = [await turns('show', 'projects'), await turns('graph', '--file=dist/graph.json')];
  return contenders.map(({ name, nx }) => [name, nx, seconds(show[name]), seconds(graph[name])]);
}

async function builds(contenders, rounds) {
  const rows = [];
  for (const { title, change } of Object.values(scenarios)) {
    /** Who left the program as it was before the edit. */
    const stale = new Set();
    const measurements = contenders.map(({ name, one, binary }) => [
      name,
      async () => {
        change?.(one);
        const sample = await timed(() => one.all('build'));
        if (change && !readFileSync(one.path(binary(one.apps[0]))).includes(one.stamp)) stale.add(name);
        return sample;
      },
    ]);
    const samples = await takeTurns(rounds, Object.fromEntries(measurements), 0);
    rows.push(...compared(title, samples, stale));
  }
  return table(['changed', '`nx run-many -t build`', 'time', 'slim-go beside it'], rows);
}

function compared(title, samples, stale) {
  return Object.entries(samples).map(([name, own]) => [
    title,
    name,
    `${seconds(own)}${stale.has(name) ? ', *stale*' : ''}`,
    name === 'slim-go' ? '' : spread(ratio(samples['slim-go'], own)),
  ]);
}

async function images(contenders, rounds, skipped) {
  const missing = engineMissing();
  if (missing) return { text: `Images: skipped, ${missing}.`, plots: [] };
  const ways = contenders
    .flatMap(({ one, images: own }) => Object.entries(own).map(([name, { target }]) => ({ name, one, target, own })))
    .filter(({ name, one, target, own }) => {
      const { missing: failure } = attempt(() => one.all(target));
      if (failure === undefined) return true;
      skipped.push(`- ${name}: skipped, it fails: ${failure}`);
      delete own[name];
      return false;
    });
  const rows = [];
  const plots = [];
  for (const [scenario, { title, change }] of Object.entries(scenarios)) {
    const measurements = ways.map(({ name, one, target }) => [
      name,
      () => {
        change?.(one);
        return timed(() => one.all(target));
      },
    ]);
    const samples = await takeTurns(rounds, Object.fromEntries(measurements), 0);
    rows.push(...compared(title, samples, new Set()));
    if (scenario === 'library') {
      const values = Object.entries(samples).map(([name, own]) => ({ name, value: median(own) / 1000 }));
      const heading = `${ways[0].one.apps.length} apps, their library changed, until the images are in the engine`;
      plots.push({ file: 'rivals.svg', svg: bars({ title: heading, unit: 's', values }) });
    }
  }
  return { text: table(['changed', 'until the images are in the engine', 'time', 'slim-go beside it'], rows), plots };
}

const engineMissing = () =>
  spawnSync('docker', ['version']).status === 0 ? undefined : 'no docker command, or none that reaches an engine';

/** One app's image in the engine, and what a registry stores of it. */
async function bytes(installation, contenders, skipped) {
  const missing = engineMissing() ?? registryNeeds();
  if (missing) return `Bytes: skipped, ${missing}.`;
  const one = new Fleet(installation, { apps: 1, nxJson: { plugins: ['slim-go'] } });
  const [app] = one.apps;
  const rows = [];
  const stored = async (push) => {
    const registry = await Registry.start();
    try {
      await push(registry.domain);
      return registry.sizeBytes();
    } finally {
      registry.stop();
    }
  };
  const imageBytes = (reference) => one.run('docker', ['image', 'inspect', '-f', '{{.Size}}', reference]).trim();
  const addPushed = async (name, reference) => {
    const size = await stored((domain) => {
      one.run('docker', ['tag', reference, `${domain}/app:latest`]);
      one.run('docker', ['push', '-q', `${domain}/app:latest`]);
    });
    rows.push([name, imageBytes(reference), size]);
  };
  try {
    one.all('docker-build');
    const own = await stored((domain) => one.nx('run', `${app}:docker-push`, `--repository=${domain}/app`));
    rows.push(['slim-go', imageBytes(`${app}:latest`), own]);
    try {
      let reference;
      const size = await stored((domain) => {
        const ko = new Ko(domain);
        ko.build(one);
        reference = ko.reference(app);
        ko.build(one, domain);
      });
      rows.push(['ko, with its base of one empty file', imageBytes(reference), size]);
    } catch (error) {
      skipped.push(`- ko: skipped, ${reasonOf(error)}`);
    }
    for (const { one: other, images: targets } of contenders) {
      for (const [name, { referenceOf }] of Object.entries(targets)) {
        if (name !== 'slim-go') await addPushed(name, referenceOf(other.apps[0]));
      }
    }
    const noTutorial = tutorialNeeds();
    if (noTutorial) skipped.push(`- the tutorial's docker build: skipped, ${noTutorial}`);
    else {
      await withTutorial(
        { apps: { [app]: `apps/${app}` }, run: one.run.bind(one), write: one.write.bind(one) },
        (build) => {
          build(app, `${app}:tutorial`);
          return addPushed("the tutorial's Dockerfile", `${app}:tutorial`);
        },
      );
    }
  } finally {
    one.remove();
  }
  return table(['one app that prints a line', 'image, bytes', 'in a registry, bytes'], rows);
}
