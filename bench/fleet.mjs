/**
 * Many apps at once: `nx run-many -t docker-build` beside bare `go build`, Nx with executors that do nothing, ko, and the
 * tutorial's `docker build`; what batches and Nx's daemon save; where the time goes; memory.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { Fleet, Folder, goFlags, Installation, label, removeImages } from './fleet-workspace.mjs';
import { attempt, findKo } from './go-tools.mjs';
import { bars } from './plot.mjs';
import { engineCpu, memoryNeeds, peakMemory } from './processes.mjs';
import { Registry, registryNeeds } from './registry.mjs';
import { less, median, ratio, seconds, spread, table, takeTurns, timed } from './samples.mjs';
import { tutorialNeeds, withTutorial } from './tutorial.mjs';

const nxJson = { plugins: ['slim-go'] };

/** What is done before a measurement, and which contenders it makes sense for. */
const scenarios = {
  cold: { title: 'cold', change: (fleet) => fleet.forget(), without: ['nx', 'nxDaemon'] },
  app: { title: 'one line of one app', change: (fleet) => fleet.editApp() },
  library: { title: 'the library of all apps', change: (fleet) => fleet.editLibrary() },
  bump: { title: 'a dependency in a new version', change: (fleet) => fleet.bump() },
  nothing: { title: 'nothing', change: () => undefined },
};

/** Which scenarios at which size, and how often: the larger ones tell what matters there, and no more. */
const sizes = [
  { apps: 1, scenarios: ['cold', 'app', 'library', 'bump', 'nothing'], more: 2, warmUps: 1 },
  { apps: 10, scenarios: ['cold', 'app', 'library', 'bump', 'nothing'], more: 0, warmUps: 1 },
  { apps: 50, scenarios: ['cold', 'app', 'library', 'bump', 'nothing'], more: 0, warmUps: 0 },
  { apps: 200, scenarios: ['nothing'], more: 0, warmUps: 1 },
];

/**
 * @param rounds of what 50 apps do
 * @param sizesWanted for looking closer: fewer sizes
 * @returns Markdown and plots
 */
export async function fleet(rounds, { full = false, sizesWanted = [1, 10, 50, 200] } = {}) {
  const installation = new Installation();
  const registry = registryNeeds() === undefined ? await Registry.start() : undefined;
  const ko = attempt(() => {
    if (registry === undefined) throw new Error(`${registryNeeds()} for ko's base image`);
    return new Ko(registry.domain);
  });
  const notes = ko.missing ? [`- ko: skipped, ${ko.missing}`] : [];
  const figures = [];
  try {
    const rows = [];
    const results = {};
    for (const size of sizes.filter(({ apps }) => sizesWanted.includes(apps))) {
      const fleets = new Pair(installation, size.apps);
      try {
        results[size.apps] = {};
        for (const name of size.scenarios) {
          const samples = await fleets.measure(name, rounds + size.more, size.warmUps, ko.found);
          results[size.apps][name] = samples;
          rows.push(row(size.apps, name, samples));
          console.log(rows.at(-1).join(' | '));
        }
        if (size.apps === 10 || size.apps === 50) figures.push(await switches(fleets, size.apps, Math.min(rounds, 2)));
        if (size.apps === 50) figures.push(await phases(fleets.off, 3));
        if (size.apps === 200) figures.push(await memory(fleets.off, results));
      } finally {
        fleets.remove();
      }
    }
    const tutorialApps = full ? 50 : 3;
    const missing = tutorialNeeds();
    if (missing) notes.push(`- the tutorial's docker build: skipped, ${missing}`);
    else results.tutorial = await beside(installation, tutorialApps, full ? 1 : Math.min(rounds, 2));
    const text = [
      goals(results, tutorialApps),
      table(
        [
          'apps',
          'changed',
          'slim-go',
          'slim-go, daemon',
          'bare `go build`',
          'Nx',
          'Nx, daemon',
          'ko',
          'slim-go / (go + Nx)',
          'slim-go / ko',
        ],
        rows,
      ),
      explanation,
      ...figures,
      ...(results.tutorial ? [tutorialTable(results.tutorial, tutorialApps)] : []),
      ...(notes.length > 0 ? [notes.join('\n')] : []),
    ].join('\n\n');
    return { text, plots: plots(results, tutorialApps) };
  } finally {
    registry?.stop();
    removeImages();
    installation.remove();
  }
}

const explanation = `Until the images are in the engine, seconds. slim-go: \`nx run-many -t docker-build\`, in batches where it has them. Bare go: one
\`go build -o dist/ ./apps/...\` with slim-go's flags and no image. Nx: \`nx run-many\` over three cached targets an app whose
executors do nothing; after an edit of one app it runs that app's three. ko: \`ko build --local\` of all apps, the same flags, a
base of one empty file in a registry on this machine. Cold: every file of the workspace is new to Go, which has only its
standard library; nothing of Nx, its daemon is started. With the daemon on a second passes between edit and command.`;

/** The same apps twice, with Nx's daemon and without: a daemon works on its graph after every edit, also of another's turn. */
class Pair {
  constructor(installation, apps) {
    const options = { apps, nxJson, isDependent: true };
    this.off = new Fleet(installation, options);
    this.on = new Fleet(installation, { ...options, daemon: true });
    for (const one of [this.off, this.on]) one.addNoOps();
  }

  async measure(name, rounds, warmUps, ko) {
    const { change, without = [] } = scenarios[name];
    const contenders = {
      slim: { in: this.off, run: (one) => one.all('docker-build'), hasEngine: true },
      slimDaemon: { in: this.on, run: (one) => one.all('docker-build'), hasEngine: true },
      go: { in: this.off, run: goBuild },
      nx: { in: this.off, run: (one) => one.all('noop-docker-build') },
      nxDaemon: { in: this.on, run: (one) => one.all('noop-docker-build') },
      // The floor of the last goal alone: one task an app.
      ...(name === 'nothing' && { nxOne: { in: this.off, run: (one) => one.all('noop-build') } }),
      ...(ko &&
        this.off.apps.length < 200 && { ko: { in: this.off, run: (one) => ko.build(one), hasEngine: true, of: ko } }),
    };
    this.prime();
    if (contenders.ko) ko.build(this.off);
    const measurements = Object.entries(contenders)
      .filter(([contender]) => !without.includes(contender))
      .map(([contender, { in: one, run, hasEngine, of }]) => {
        const app = one.apps[0];
        const id = () => imageId(of?.reference(app) ?? `${app}:latest`);
        return [
          contender,
          async () => {
            const before = hasEngine && id();
            change(one);
            if (one.daemon && name !== 'nothing') await wait(1000);
            const sample = await timed(() => run(one));
            // A measurement of something else than was meant is no result.
            if (hasEngine && (id() === before) !== (name === 'nothing')) {
              throw new Error(
                `${contender} with ${one.apps.length} apps, changed: ${name}: the engine has ${id()}, and had ${before}`,
              );
            }
            return sample;
          },
        ];
      });
    return takeTurns(rounds, Object.fromEntries(measurements), warmUps);
  }

  /** Everything is cached and in the engine. */
  prime() {
    for (const one of [this.off, this.on]) {
      one.all('docker-build');
      one.all('noop-docker-build', '--batch');
    }
    goBuild(this.off);
  }

  remove() {
    for (const one of [this.off, this.on]) one.remove();
  }
}

function goBuild(one) {
  one.run('go', ['build', ...goFlags, '-o', 'dist/bare/', './apps/...'], { CGO_ENABLED: '0' });
}

function imageId(reference) {
  return spawnSync('docker', ['image', 'inspect', '-f', '{{.Id}}', reference], { encoding: 'utf8' }).stdout.trim();
}

/** ko with a base image that holds one empty file. */
export class Ko {
  constructor(domain) {
    this.file = findKo();
    this.base = `${domain}/base:latest`;
    const folder = new Folder('bench-base');
    try {
      folder.write('Dockerfile', `FROM scratch\nLABEL ${label}\nCOPY empty /\n`);
      folder.write('empty', '');
      folder.run('docker', ['build', '-q', '-t', this.base, '.'], { DOCKER_BUILDKIT: '0' });
      folder.run('docker', ['push', '-q', this.base]);
    } finally {
      folder.remove();
    }
  }

  reference(app) {
    return `ko.local/${app}:latest`;
  }

  /** All apps, into the engine; with a repository one, to there. */
  build(one, repository = 'ko.local') {
    one.write('.ko.yaml', 'defaultFlags: ["-trimpath", "-buildvcs=false"]\ndefaultLdflags: ["-s", "-w"]\n');
    const options = ['-B', '--sbom=none', `--image-label=${label}`];
    const apps = one.apps.map((app) => `./apps/${app}`);
    const environment = { KO_DOCKER_REPO: repository, KO_DEFAULTBASEIMAGE: this.base, CGO_ENABLED: '0' };
    one.run(this.file, ['build', ...options, ...apps], environment);
  }
}

const cell = (samples) => (samples === undefined ? '' : seconds(samples));
const share = (a, b) => (a === undefined || b === undefined ? '' : spread(ratio(a, b)));
const sum = (a, b) => a && b && a.map((sample, round) => sample + b[round]);

function row(apps, name, { slim, slimDaemon, go, nx, nxDaemon, ko }) {
  const times = [slim, slimDaemon, go, nx, nxDaemon, ko].map(cell);
  return [String(apps), scenarios[name].title, ...times, share(slim, sum(go, nx)), share(slim, ko)];
}

/** Batches and Nx's daemon, each on and off. */
async function switches(fleets, apps, rounds) {
  const samples = {};
  const ways = [
    ['batch, daemon off', fleets.off, []],
    ['batch, daemon on', fleets.on, []],
    ['one by one, daemon off', fleets.off, ['--batch=false']],
    ['one by one, daemon on', fleets.on, ['--batch=false']],
  ];
  for (const target of ['build', 'docker-build']) {
    fleets.prime();
    const measurements = ways.map(([name, one, args]) => [
      name,
      async () => {
        one.editLibrary();
        if (one.daemon) await wait(1000);
        return timed(() => one.all(target, ...args));
      },
    ]);
    samples[target] = await takeTurns(rounds, Object.fromEntries(measurements), 0);
  }
  const first = ways[0][0];
  return table(
    [`${apps} apps, their library changed`, '`-t build`', 'beside the first', '`-t docker-build`', 'beside the first'],
    ways.map(([name]) => [
      name,
      ...Object.values(samples).flatMap((of) => [seconds(of[name]), spread(ratio(of[name], of[first]))]),
    ]),
  );
}

/** Where the time of one library's edit goes, as Nx's own profile tells it. Targets may overlap. */
async function phases(one, rounds) {
  const samples = {};
  const add = (name, milliseconds) => {
    samples[name] ??= [];
    samples[name].push(milliseconds);
  };
  for (let round = 0; round < rounds; round++) {
    one.editLibrary();
    const cpu = engineCpu();
    const start = Date.now();
    one.run(process.execPath, [one.installation.nx, 'run-many', '-t', 'docker-build'], {
      NX_PROFILE: 'dist/profile.json',
    });
    const end = Date.now();
    const events = JSON.parse(readFileSync(one.path('dist', 'profile.json'), 'utf8')).filter(({ ph }) => ph === 'X');
    const spans = ['build', 'image', 'docker-build'].map((target) => {
      const own = events.filter(({ args }) => args.target.target === target);
      const from = Math.min(...own.map(({ ts }) => ts / 1000));
      return { target, from, to: Math.max(...own.map(({ ts, dur }) => (ts + dur) / 1000)) };
    });
    add('Nx, until the first task starts', spans[0].from - start);
    for (const { target, from, to } of spans)
      add(`\`${target}\`, from its first task's start to its last one's end`, to - from);
    add('Nx, after the last task', end - spans[2].to);
    add('the whole command', end - start);
    if (cpu !== undefined) add('CPU of the engine meanwhile, on all cores', engineCpu() - cpu);
  }
  return table(
    [`${one.apps.length} apps, their library changed, daemon off`, 'time'],
    Object.entries(samples).map(([name, milliseconds]) => [name, seconds(milliseconds)]),
  );
}

/** What slim-go takes over Nx with executors that do nothing. */
async function memory(one, results) {
  const missing = memoryNeeds();
  if (missing) return `Memory: skipped, ${missing}.`;
  const peaks = async (target, change) => {
    const found = [];
    for (let round = 0; round < 2; round++) {
      change?.();
      const env = { ...process.env, NX_TUI: 'false', ...one.env };
      found.push(
        await peakMemory(process.execPath, [one.installation.nx, 'run-many', '-t', target], { cwd: one.root, env }),
      );
    }
    return { node: found.map(({ nodeMiB }) => nodeMiB), all: found.map(({ allMiB }) => allMiB) };
  };
  one.all('docker-build');
  one.all('noop-docker-build', '--batch');
  const noop = await peaks('noop-docker-build');
  const nothing = await peaks('docker-build');
  const library = await peaks('docker-build', () => one.editLibrary());
  results.memory = { noop, nothing, library };
  const line = (title, { node, all }) => [title, spread(node, 0), spread(less(node, noop.node), 0), spread(all, 0)];
  return table(
    ['200 apps: peak memory, MiB', 'all node processes', 'over Nx', 'with go, compilers, linkers'],
    [
      line('Nx, everything cached, executors that do nothing', noop),
      line('slim-go, nothing changed', nothing),
      line('slim-go, the library of all apps changed', library),
    ],
  );
}

/** The tutorial's Dockerfile in each of a few apps, one `docker build` after the other, after their library's edit. */
async function beside(installation, apps, rounds) {
  const one = new Fleet(installation, { apps, nxJson });
  try {
    const docker = {
      apps: Object.fromEntries(one.apps.map((app) => [app, `apps/${app}`])),
      run: (...args) => one.run(...args),
      write: (...args) => one.write(...args),
    };
    one.all('docker-build');
    const afterEdit = (work) => () => {
      one.editLibrary();
      return timed(work);
    };
    return await withTutorial(docker, (build) =>
      takeTurns(
        rounds,
        {
          slim: afterEdit(() => one.all('docker-build')),
          docker: afterEdit(() => {
            for (const app of one.apps) build(app);
          }),
        },
        0,
      ),
    );
  } finally {
    one.remove();
  }
}

function tutorialTable({ slim, docker }, apps) {
  return table(
    [`${apps} apps, their library changed, Nx daemon off`, 'time', 'an app', 'ratio'],
    [
      ["the tutorial's `docker build` (classic builder), one after the other", docker, ''],
      ['slim-go', slim, spread(ratio(slim, docker))],
    ].map(([title, samples, beside]) => [title, seconds(samples), seconds(samples.map((all) => all / apps)), beside]),
  );
}

/** The figures that the project set itself, and what this run says. */
function goals(results, tutorialApps) {
  const rows = [];
  const add = (title, goal, samples, digits = 2) => {
    if (samples === undefined) return;
    rows.push([title, `${goal}`, spread(samples, digits), median(samples) <= goal ? 'reached' : '**missed**']);
  };
  const library = results[50]?.library;
  const nothing = results[200]?.nothing;
  if (library) {
    const perApp = (samples, apps) => samples.map((all) => all / apps);
    add(
      "50 apps, library edited: of bare `go build` and Nx's cached run together",
      1.6,
      ratio(library.slim, sum(library.go, library.nx)),
    );
    if (library.ko) add('50 apps, library edited: of ko', 0.5, ratio(library.slim, library.ko));
    if (results.tutorial) {
      const docker = median(perApp(results.tutorial.docker, tutorialApps));
      const title = `library edited: of the tutorial's Dockerfiles, by app (50 of slim-go, ${tutorialApps} of the tutorial)`;
      add(
        title,
        0.1,
        perApp(library.slim, 50).map((own) => own / docker),
      );
    }
  }
  if (nothing) {
    add(
      "200 apps, nothing changed: of Nx's cached run of the same three targets",
      1.2,
      ratio(nothing.slim, nothing.nx),
    );
    add("200 apps, nothing changed: of Nx's cached run of one target an app", 1.2, ratio(nothing.slim, nothing.nxOne));
    add(
      "200 apps, nothing changed, daemon on: of Nx's the same three targets",
      1.2,
      ratio(nothing.slimDaemon, nothing.nxDaemon),
    );
  }
  if (results.memory) {
    const { noop, nothing: idle, library: busy } = results.memory;
    add('200 apps, nothing changed: node processes over Nx, MiB', 300, less(idle.node, noop.node), 0);
    add('200 apps, library edited: node processes over Nx, MiB', 300, less(busy.node, noop.node), 0);
  }
  return rows.length === 0 ? '' : table(['figure to reach, Nx daemon off', 'at most', 'measured', ''], rows);
}

function plots(results, tutorialApps) {
  const library = results[50]?.library;
  if (!library) return [];
  const values = [
    ['bare go build, no images', library.go],
    ['Nx alone, executors that do nothing', library.nx],
    ['slim-go', library.slim],
    ['slim-go, Nx daemon on', library.slimDaemon],
    ['ko', library.ko],
  ];
  const many = bars({
    title: '50 apps, their library changed, until the images are in the engine',
    unit: 's',
    values: values.filter(([, samples]) => samples).map(([name, samples]) => ({ name, value: median(samples) / 1000 })),
  });
  const made = [{ file: 'fleet.svg', svg: many }];
  if (results.tutorial) {
    const each = ([name, samples, apps]) => ({ name, value: median(samples) / 1000 / apps });
    const rivals = [
      ['slim-go, 50 apps', library.slim, 50],
      ...(library.ko ? [['ko, 50 apps', library.ko, 50]] : []),
      [`the tutorial's docker build, ${tutorialApps} apps`, results.tutorial.docker, tutorialApps],
    ];
    made.push({
      file: 'tutorial.svg',
      svg: bars({ title: 'An app of a fleet whose library changed', unit: 's', values: rivals.map(each) }),
    });
  }
  return made;
}
