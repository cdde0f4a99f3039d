import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

let root: string;
const environment = process.env;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'slim-go-graph-')));
  for (const [file, text] of Object.entries(workspace)) write(file, text);
});
afterEach(() => {
  process.env = environment;
  rmSync(root, { recursive: true });
});

function write(file: string, text: string): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
}

const workspace = {
  'nx.json': '{}',
  'package.json': '{"name":"ws"}',
  'go.mod': 'module ex.com/acme\n\ngo 1.24\n\nrequire ex.com/third v1.2.3\n',
  'apps/hello/main.go': 'package main\n\nimport _ "ex.com/acme/libs/greet"\n\nfunc main() {}\n',
  'apps/hello/Dockerfile': 'FROM scratch\nCOPY dist /\n',
  'libs/greet/greet.go': 'package greet\n\nimport _ "ex.com/third/x"\n',
  'libs/greet/project.json': '{"name":"greet"}',
  'libs/other/other.go': 'package other\n',
};

/** One graph as a new process of Nx computes it. */
async function graph(cache: string, settings: { readonly targetDefaults?: object; readonly foreign?: object } = {}) {
  process.env = {
    ...environment,
    NX_WORKSPACE_ROOT_PATH: root,
    NX_WORKSPACE_DATA_DIRECTORY: join(root, cache),
    NX_DAEMON: 'false',
  };
  jest.resetModules();
  const { createNodes, createDependencies } = require('./index') as typeof import('./index');
  const nxJsonConfiguration = { targetDefaults: settings.targetDefaults ?? {} };
  const context = { workspaceRoot: root, nxJsonConfiguration } as never;
  const nodes = await createNodes[1](['go.mod'], undefined, context);
  const given = JSON.stringify(nodes);
  const made = nodes.flatMap(([, found]) => Object.values(found.projects ?? {})) as { name: string }[];
  const projects = Object.fromEntries(made.map((project) => [project.name, project]));
  // Nx completes the projects that it is given.
  for (const project of made) Object.assign(project, { targets: {} });
  const externalNodes = Object.assign({}, ...nodes.map(([, found]) => found.externalNodes));
  const edges = await createDependencies(undefined, {
    ...(context as object),
    projects: { ...projects, ...settings.foreign },
    externalNodes,
  } as never);
  return { nodes: JSON.parse(given), edges };
}

const keptId = () => {
  const file = join(root, '.kept', 'slim-go', 'graph');
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n')[0] : undefined;
};

it('gives the kept graph as long as it is true, and a new one after any change that counts', async () => {
  const warn = jest.spyOn(console, 'warn').mockReturnValue();
  await graph('.kept');
  const steps: [what: string, isKept: boolean, change: () => void, settings?: Parameters<typeof graph>[1]][] = [
    ['nothing', true, () => undefined],
    ['a function body', true, () => appendFileSync(join(root, 'libs/greet/greet.go'), 'func F() {}\n')],
    ['an import', false, () => write('apps/hello/main.go', 'package main\n\nimport _ "ex.com/acme/libs/other"\n')],
    ['the Dockerfile', false, () => write('apps/hello/Dockerfile', 'FROM scratch\nEXPOSE 80\nCOPY . /\n')],
    ['a .dockerignore', false, () => write('apps/hello/.dockerignore', '*.md\n')],
    ['a project.json', false, () => write('libs/greet/project.json', '{"name":"welcome"}')],
    ['go.mod', false, () => appendFileSync(join(root, 'go.mod'), 'require ex.com/fourth v1.0.0\n')],
    ['a new file', false, () => write('libs/other/new.go', 'package other\n\nimport _ "ex.com/third/y"\n')],
    ['a file gone', false, () => rmSync(join(root, 'libs/other/new.go'))],
    ['nx.json', false, () => undefined, { targetDefaults: { build: { options: { platforms: ['linux/arm64'] } } } }],
    ["another plugin's project", false, () => undefined, { foreign: { other: { name: 'other', root: 'libs/other' } } }],
    ['a broken file', false, () => write('libs/other/other.go', 'pakage other\n')],
    ['a broken file, again', false, () => undefined],
    ['a cured file', false, () => write('libs/other/other.go', 'package other\n')],
    ['nothing, at the end', true, () => undefined],
  ];
  for (const [what, isKept, change, settings] of steps) {
    const before = keptId();
    change();
    warn.mockClear();
    const kept = await graph('.kept', settings);
    const said = warn.mock.calls;
    expect([what, keptId() === before && said.length === 0]).toEqual([what, isKept]);
    rmSync(join(root, '.fresh'), { recursive: true, force: true });
    warn.mockClear();
    expect([what, kept]).toEqual([what, await graph('.fresh', settings)]);
    expect(said).toEqual(warn.mock.calls);
  }
});

it('works without a place to keep anything', async () => {
  write('.kept', 'a file');
  expect(await graph('.kept')).toEqual(await graph('.fresh'));
});

it('is the same by @nx/devkit where its source is closed to others', async () => {
  const open = await graph('.open');
  let isRefused = false;
  jest.doMock('nx/src/devkit-exports', () => {
    // The devkit's own way to it stays open.
    if (isRefused) return jest.requireActual('nx/src/devkit-exports');
    isRefused = true;
    throw new Error('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });
  try {
    expect(await graph('.closed')).toEqual(open);
    expect(isRefused).toBe(true);
  } finally {
    jest.dontMock('nx/src/devkit-exports');
  }
});
