/**
 * Changes a generated workspace at random, one thing at a time, and compares what Nx makes of it with the truth: images
 * built from scratch, byte by byte. No image that changed may be missing among the tasks that `nx affected` picks, and
 * none may come stale out of the cache; what is picked although nothing changed is counted by the kind of change.
 *
 *     node e2e/mutation.mjs [--changes=60] [--seed=1] [--layout=module|workspace] [--daemon]
 *
 * Needs a compiled dist/, Go and git; no container engine. Ends with 1 where an image is missed or stale, or where one is
 * picked that the inputs can tell is the same.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { table } from '../bench/samples.mjs';
import { installPacked } from '../scripts/commands.mjs';

const { values } = parseArgs({
  options: {
    changes: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    layout: { type: 'string', default: '' },
    daemon: { type: 'boolean', default: false },
  },
});

const apps = ['alpha', 'beta', 'gamma'];
const libs = ['l0', 'l1', 'l2', 'l3', 'l4'];
/** What each imports at first; libraries only such as come later. */
const imports = {
  alpha: ['l0', 'l1'],
  beta: ['l1'],
  gamma: ['l4'],
  l0: ['l2'],
  l1: ['l2', 'l3'],
  l2: [],
  l3: [],
  l4: [],
};

function mutate(layout) {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'slim-go-mutation-')));
  const workspace = new Workspace(root, layout);
  try {
    workspace.create();
    return compare(workspace, Number(values.changes), randomOf(Number(values.seed)));
  } finally {
    if (values.daemon) workspace.run('daemon', '--stop');
    rmSync(root, { recursive: true, force: true });
  }
}

function compare(workspace, changes, random) {
  const counts = new Map();
  let problems = 0;
  workspace.run('run-many', '-t', 'image');
  let before = workspace.truth();
  for (let index = 0; index < changes; index++) {
    // Every kind in turn, so that a short run has all of them.
    const [kind, { apply, tellable }] = Object.entries(kinds)[index % Object.keys(kinds).length];
    const what = apply(workspace, random);
    console.error(`${index + 1}/${changes} ${workspace.layout}: ${kind}: ${what}`);
    const picked = workspace.affected();
    workspace.removeOutputs();
    workspace.run('run-many', '-t', 'image');
    const cached = workspace.digests();
    const after = workspace.truth();
    const count = counts.get(kind) ?? { changes: 0, changed: 0, picked: 0, tooMany: 0, missed: 0, stale: 0 };
    counts.set(kind, count);
    count.changes++;
    for (const app of apps) {
      const changed = before[app] !== after[app] || after[app] === 'fails';
      const isPicked = [`${app}:image`, `${app}:docker-build`].every((task) => picked.has(task));
      if (changed) count.changed++;
      if (isPicked) count.picked++;
      if (changed && !isPicked) count.missed += report(`${app} is not picked after ${kind}: ${what}`);
      if (cached[app] !== after[app])
        count.stale += report(`${app} comes stale out of the cache after ${kind}: ${what}`);
      if (!changed && [...picked].some((task) => task.startsWith(`${app}:`))) {
        count.tooMany++;
        if (tellable) report(`${app} is picked for nothing after ${kind}: ${what}`);
      }
    }
    // One in four stays, so that changes come together as well.
    if (random(4) === 0 && !Object.values(after).includes('fails')) {
      workspace.git('add', '-A');
      workspace.git('commit', '-qm', kind);
      before = after;
    } else {
      workspace.git('reset', '-q', '--hard');
      workspace.git('clean', '-qfd');
    }
  }
  const head = ['change', 'times', 'images changed', 'picked', 'picked for nothing', 'missed', 'stale'];
  console.log(`\n## ${workspace.layout}, seed ${values.seed}${values.daemon ? ', daemon on' : ''}\n`);
  console.log(
    table(
      head,
      [...counts].map(([kind, count]) => [kind, ...Object.values(count)]),
    ),
  );
  return problems;

  function report(problem) {
    console.error(problem);
    problems++;
    return 1;
  }
}

/**
 * What may happen to a workspace. `apply` says what it did; `tellable` where the inputs are exact enough that no image is
 * picked which stays the same.
 */
const kinds = {
  'a comment': {
    apply: (workspace, random) => workspace.append(workspace.source(random), `// ${random(1e6)}\n`),
  },
  'a function body': {
    apply: (workspace, random) => workspace.edit(workspace.source(random), /say\("[^"]*"\)/, `say("${random(1e6)}")`),
  },
  'a function that nobody calls': {
    apply: (workspace, random) =>
      workspace.append(workspace.source(random), `\nfunc unused${random(1e6)}() int { return ${random(9)} }\n`),
  },
  'a new import': {
    apply: (workspace, random) => {
      const file = `apps/${pick(apps, random)}/extra.go`;
      return workspace.write(file, `package main\n\nimport "${workspace.path('l4')}"\n\nvar _ = l4.Do\n`);
    },
  },
  'a new package': {
    apply: (workspace, random) => {
      const app = pick(apps, random);
      workspace.write(`apps/${app}/inner/inner.go`, `package inner\n\nfunc init() { println(${random(1e6)}) }\n`);
      return workspace.write(`apps/${app}/inner.go`, `package main\n\nimport _ "${workspace.path(app)}/inner"\n`);
    },
  },
  'a test': {
    apply: (workspace, random) => {
      const name = pick([...apps, ...libs], random);
      const clause = `package ${apps.includes(name) ? 'main' : name}_test`;
      const test = `${clause}\n\nimport "testing"\n\nfunc Test${random(1e6)}(t *testing.T) {}\n`;
      return workspace.write(`${workspace.folder(name)}/more_test.go`, test);
    },
    tellable: true,
  },
  'an embedded file': {
    apply: (workspace, random) => workspace.write('libs/l3/data/a.txt', `${random(1e6)}\n`),
    tellable: true,
  },
  'a new embedded file': {
    apply: (workspace, random) => workspace.write(`libs/l3/data/${random(1e6)}.txt`, 'new\n'),
    tellable: true,
  },
  'a file beside the embedded ones': {
    apply: (workspace, random) => workspace.write('libs/l3/notes.txt', `${random(1e6)}\n`),
    tellable: true,
  },
  'a file for another system': {
    apply: (workspace, random) =>
      workspace.append(`${workspace.folder(pick(libs, random))}/other_windows.go`, `\nvar v${random(1e6)} int\n`),
    tellable: true,
  },
  'a constraint': {
    apply: (workspace, random) => {
      const lib = pick(libs, random);
      return workspace.edit(`libs/${lib}/more.go`, /^/, '//go:build never\n\n');
    },
  },
  'a comment in go.mod': {
    apply: (workspace, random) => workspace.append(workspace.goMod(random), `// ${random(1e6)}\n`),
  },
  'a setting in go.mod': {
    apply: (workspace, random) => workspace.append(workspace.goMod(random), '\ngodebug panicnil=1\n'),
  },
  'a comment in go.work': {
    apply: (workspace, random) =>
      workspace.layout === 'workspace'
        ? workspace.append('go.work', `// ${random(1e6)}\n`)
        : kinds.README.apply(workspace, random),
  },
  README: {
    apply: (workspace, random) =>
      workspace.append(`${workspace.folder(pick([...apps, ...libs], random))}/README.md`, `${random(1e6)}\n`),
    tellable: true,
  },
  'a Dockerfile': {
    apply: (workspace, random) => workspace.append(`apps/${pick(apps, random)}/Dockerfile`, `LABEL n=${random(1e6)}\n`),
    tellable: true,
  },
  'a file removed': { apply: (workspace, random) => workspace.remove(`libs/${pick(libs, random)}/more.go`) },
  'a needed file removed': { apply: (workspace, random) => workspace.remove(`libs/${pick(libs, random)}/lib.go`) },
  'a package renamed': {
    apply: (workspace, random) => {
      const lib = pick(libs, random);
      return workspace.edit(`libs/${lib}/lib.go`, /^package \w+/m, `package renamed${random(1e6)}`);
    },
  },
  'a folder renamed': {
    apply: (workspace, random) => workspace.move(`libs/${pick(libs, random)}`, `libs/moved${random(1e6)}`),
  },
  'a file renamed': {
    apply: (workspace, random) => {
      const lib = pick(libs, random);
      return workspace.move(
        `libs/${lib}/more.go`,
        `libs/${lib}/more_${pick(['windows', 'test', 'linux', 'x'], random)}.go`,
      );
    },
  },
};

class Workspace {
  constructor(root, layout) {
    this.root = root;
    this.layout = layout;
  }

  create() {
    this.write('package.json', '{"name":"mutation","private":true}');
    this.write('nx.json', '{"plugins":["slim-go"]}');
    this.write('.gitignore', 'node_modules\n.nx\ndist\n*.tgz\n');
    for (const name of [...apps, ...libs]) {
      const dir = this.folder(name);
      const own = imports[name];
      const lines = own.map((other) => `\t"${this.path(other)}"\n`).join('');
      const calls = own.map((other) => `\t${other}.Do()\n`).join('');
      const isApp = apps.includes(name);
      const embed = name === 'l3' ? '//go:embed data\nvar data embed.FS\n\n' : '';
      const use = name === 'l3' ? '\tentries, _ := data.ReadDir("data")\n\tprintln(len(entries))\n' : '';
      this.write(
        `${dir}/${isApp ? 'main' : 'lib'}.go`,
        `package ${isApp ? 'main' : name}\n\nimport (\n${embed ? '\t"embed"\n' : ''}${lines})\n\n${embed}` +
          `func say(text string) { println(text) }\n\nfunc ${isApp ? 'main' : 'Do'}() {\n\tsay("${name}")\n${calls}${use}}\n`,
      );
      this.write(`${dir}/more.go`, `package ${isApp ? 'main' : name}\n\nfunc init() { println("more of ${name}") }\n`);
      this.write(`${dir}/other_windows.go`, `package ${isApp ? 'main' : name}\n\nvar other = 1\n`);
      this.write(`${dir}/README.md`, `${name}\n`);
      if (isApp)
        this.write(
          `${dir}/Dockerfile`,
          `FROM scratch\nARG TARGETPLATFORM\nCOPY dist/\${TARGETPLATFORM}/${name} /app\nENTRYPOINT ["/app"]\n`,
        );
      if (this.layout === 'workspace') this.write(`${dir}/go.mod`, `module ${this.path(name)}\n\ngo 1.24\n`);
    }
    this.write('libs/l3/data/a.txt', 'a\n');
    if (this.layout === 'module') this.write('go.mod', 'module example.com/acme\n\ngo 1.24\n');
    else
      this.write('go.work', `go 1.24\n\n${[...apps, ...libs].map((name) => `use ./${this.folder(name)}\n`).join('')}`);
    installPacked(this.root);
    this.git('init', '-q');
    this.git('add', '-A');
    this.git('commit', '-qm', 'start');
  }

  folder(name) {
    return `${apps.includes(name) ? 'apps' : 'libs'}/${name}`;
  }

  path(name) {
    return `example.com/acme/${this.folder(name)}`;
  }

  /** Any source that some program may be made of. */
  source(random) {
    const name = pick([...apps, ...libs], random);
    return `${this.folder(name)}/${apps.includes(name) ? 'main' : 'lib'}.go`;
  }

  goMod(random) {
    return this.layout === 'module' ? 'go.mod' : `${this.folder(pick([...apps, ...libs], random))}/go.mod`;
  }

  write(file, text) {
    const path = join(this.root, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return file;
  }

  append(file, text) {
    return this.edit(file, /$(?![\s\S])/, text);
  }

  edit(file, pattern, text) {
    const path = join(this.root, file);
    // A change that stayed may have taken it away.
    if (!existsSync(path)) return 'nothing: it is gone';
    writeFileSync(
      path,
      readFileSync(path, 'utf8').replace(pattern, () => text),
    );
    return file;
  }

  remove(file) {
    rmSync(join(this.root, file), { force: true });
    return file;
  }

  move(from, to) {
    if (!existsSync(join(this.root, from))) return 'nothing: it is gone';
    renameSync(join(this.root, from), join(this.root, to));
    return `${from} to ${to}`;
  }

  git(...args) {
    const identity = ['-c', 'user.name=mutation', '-c', 'user.email=mutation@example.com'];
    return execFileSync('git', [...identity, ...args], { cwd: this.root, encoding: 'utf8' });
  }

  run(...args) {
    const nx = join(this.root, 'node_modules', 'nx', 'dist', 'bin', 'nx.js');
    const env = {
      ...process.env,
      NX_DAEMON: String(values.daemon),
      NX_TUI: 'false',
      NO_COLOR: '1',
      CI: String(!values.daemon),
      GOFLAGS: '',
    };
    return spawnSync(process.execPath, [nx, ...args], { cwd: this.root, env, encoding: 'utf8', maxBuffer: 1 << 28 });
  }

  /** Names of the tasks that a change since the last commit makes `nx affected` pick. */
  affected() {
    const file = join(this.root, '.nx', 'affected.json');
    rmSync(file, { force: true });
    const { stdout, stderr } = this.run(
      'affected',
      '-t',
      'build',
      'image',
      'docker-build',
      '--base=HEAD',
      `--graph=${file}`,
    );
    if (!existsSync(file)) {
      if (/No tasks were run|no tasks|not affected/i.test(stdout + stderr)) return new Set();
      throw new Error(`nx affected gave no tasks:\n${stdout}${stderr}`);
    }
    return new Set(Object.keys(JSON.parse(readFileSync(file, 'utf8')).tasks.tasks));
  }

  removeOutputs() {
    for (const app of apps) rmSync(join(this.root, 'apps', app, 'dist'), { recursive: true, force: true });
  }

  /** What building everything from scratch gives. */
  truth() {
    this.removeOutputs();
    this.run('run-many', '-t', 'image', '--skip-nx-cache');
    return this.digests();
  }

  digests() {
    return Object.fromEntries(
      apps.map((app) => {
        const file = join(this.root, 'apps', app, 'dist', 'image', 'image.tar');
        return [app, existsSync(file) ? createHash('sha256').update(readFileSync(file)).digest('hex') : 'fails'];
      }),
    );
  }
}

function pick(items, random) {
  return items[random(items.length)];
}

/** Whole numbers from 0 to below a limit, the same for a seed. https://en.wikipedia.org/wiki/Linear_congruential_generator */
function randomOf(seed) {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

let failures = 0;
for (const layout of values.layout === '' ? ['module', 'workspace'] : [values.layout]) failures += mutate(layout);
process.exitCode = failures === 0 ? 0 : 1;
