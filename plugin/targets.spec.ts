import { join } from 'node:path';
import { moduleState, packageKey } from '../go/deps';
import { GoTree } from '../go/packages';
import { formatPlatform, hostContainerPlatform, hostPlatform } from '../platform';
import { findProjects, type StatedProject } from './projects';
import type { PluginOptions } from './sources';
import { targetsOf } from './targets';

const warnings: string[] = [];

function targetsIn(
  files: Readonly<Record<string, string>>,
  root: string,
  settings: {
    readonly stated?: Readonly<Record<string, StatedProject>>;
    readonly options?: PluginOptions;
    readonly targetDefaults?: Readonly<Record<string, { options: object }>>;
    readonly nxMajor?: number;
  } = {},
) {
  warnings.length = 0;
  const tree = new GoTree({ files: Object.keys(files), read: (file) => Buffer.from(files[file] ?? '') });
  const projects = findProjects(tree, new Map(Object.entries(settings.stated ?? {})), new Map(), 'ws');
  const project = projects.find((candidate) => candidate.root === root);
  if (!project) throw new Error(`no project at ${root}`);
  return targetsOf(project, {
    workspaceRoot: join(__dirname, '..'),
    tree,
    options: settings.options ?? {},
    nxJson: { targetDefaults: settings.targetDefaults ?? {} },
    readText: (file) => files[file],
    warn: (message) => warnings.push(message),
    nxMajor: settings.nxMajor ?? 24,
  });
}

const filesets = (inputs: readonly unknown[] | undefined) =>
  (inputs ?? []).filter((input) => typeof input === 'string');
const main = 'package main\n\nfunc main() {}\n';
const dockerfile = 'FROM scratch\nARG TARGETPLATFORM\nCOPY dist/$TARGETPLATFORM/hello /hello\nENTRYPOINT ["/hello"]\n';
const app = {
  'go.mod': 'module ex.com/acme\n\ngo 1.24\n',
  'apps/hello/main.go': 'package main\n\nimport _ "ex.com/acme/libs/greet"\n\nfunc main() {}\n',
  'apps/hello/main_test.go': 'package main\n\nimport _ "ex.com/acme/libs/fake"\n',
  'apps/hello/Dockerfile': dockerfile,
  'apps/tool/main.go': main,
  'libs/greet/greet.go': 'package greet\n',
  'libs/fake/fake.go': 'package fake\n',
};
const host = formatPlatform(hostPlatform());
const container = formatPlatform(hostContainerPlatform());

it('gives a program with a Dockerfile the whole way to a running image', () => {
  const targets = targetsIn(app, 'apps/hello');
  expect(Object.keys(targets)).toEqual([
    'build',
    'test',
    'lint',
    'format',
    'vuln',
    'serve',
    'image',
    'docker-build',
    'docker-run',
    'docker-push',
    'verify-repro',
  ]);
  expect(targets.build).toMatchObject({
    cache: true,
    options: { platforms: [container] },
    configurations: { release: { vcs: true, stamp: true } },
  });
  expect(targets.build!.outputs).toEqual([`{projectRoot}/dist/${container}`]);
  expect(targets.image).toMatchObject({
    cache: true,
    dependsOn: ['build'],
    outputs: ['{projectRoot}/dist/image/image.tar', '{projectRoot}/dist/image/image.json'],
  });
  expect(targets['docker-build']).toMatchObject({ cache: false, dependsOn: ['image'] });
  expect(targets['docker-run']).toMatchObject({ cache: false, dependsOn: ['image'] });
  expect(targets['docker-run']!.continuous).toBeUndefined();
  expect(targets.serve).toMatchObject({ cache: false, continuous: true, options: {} });
  expect(targets['docker-push']).toMatchObject({ cache: false, dependsOn: ['image'] });
  for (const target of Object.values(targets))
    expect(target.metadata).toMatchObject({ description: expect.any(String), help: expect.any(Object) });
});

it('compiles for the host where there is no Dockerfile', () => {
  const targets = targetsIn(app, 'apps/tool');
  expect(Object.keys(targets)).toEqual(['build', 'lint', 'format', 'vuln', 'serve']);
  expect(targets.build!.options.platforms).toEqual([host]);
});

it('lists the folders of the closure in one pattern, without tests', () => {
  const inputs = filesets(targetsIn(app, 'apps/hello').build!.inputs);
  expect(inputs[0]).toMatch(/^\{workspaceRoot\}\/\{apps\/hello,libs\/greet\}\/\*\.\{go,/);
  expect(inputs).toContain('!{workspaceRoot}/**/*_test.go');
  expect(inputs).toContain('{workspaceRoot}/apps/hello/default.pgo');
  expect(inputs).toContain('{workspaceRoot}/{go.mod,go.sum,go.work,vendor/modules.txt}');
  expect(JSON.stringify(inputs)).not.toContain('fake');
  expect(JSON.stringify(targetsIn(app, 'apps/hello').test!.inputs)).toContain('libs/fake');
});

it('gives Nx 22 no pattern with two groups of alternatives, and takes the same files', () => {
  const groups = (input: unknown) => String(input).match(/\{(?!workspaceRoot\}|projectRoot\})/g)?.length ?? 0;
  const of = (nxMajor: number) =>
    Object.values(targetsIn(app, 'apps/hello', { nxMajor })).flatMap(({ inputs }) => filesets(inputs));
  expect(Math.max(...of(23).map(groups))).toBeGreaterThan(1);
  expect(Math.max(...of(22).map(groups))).toBe(1);
  const { build } = targetsIn(app, 'apps/hello', { nxMajor: 22 });
  const sources = /^\{workspaceRoot\}\/(\S+)\/\*\.\{go,/;
  expect(filesets(build!.inputs).flatMap((input) => sources.exec(String(input))?.[1] ?? [])).toEqual([
    'apps/hello',
    'libs/greet',
  ]);
});

it('takes embedded files in, and leaves no name out where one may be embedded', () => {
  const embedding = (pattern: string) =>
    filesets(
      targetsIn(
        {
          'go.mod': 'module ex.com/a\n',
          'main.go': `package main\n\nimport _ "embed"\n\n//go:embed ${pattern}\nvar x string\n`,
        },
        '',
      ).build!.inputs,
    );
  expect(embedding('static/*.html')).toEqual(
    expect.arrayContaining([
      '{workspaceRoot}/static/*.html',
      '{workspaceRoot}/static/*.html/**/*',
      '!{workspaceRoot}/*_test.go',
    ]),
  );
  expect(embedding('all:{a}')).toContain('{workspaceRoot}/?a?/**/*');
  expect(embedding('*').filter((input) => String(input).startsWith('!'))).toEqual([]);
});

it('keys the Go version and environment by what works in every shell, without Go too', () => {
  const runtimes = (targetsIn(app, 'apps/hello').build!.inputs as { runtime?: string }[]).flatMap(
    ({ runtime }) => runtime ?? [],
  );
  expect(runtimes).toHaveLength(1);
  expect(runtimes[0]).toMatch(/^go env GOVERSION [A-Z0-9 ]+ \|\| echo no go$/);
});

it('follows the options that project.json and nx.json state', () => {
  const targets = targetsIn(app, 'apps/hello', {
    stated: {
      'apps/hello': {
        targets: {
          build: { options: { platforms: ['linux/arm64', 'linux/arm/v7'], outputPath: '{projectRoot}/bin' } },
        },
      },
    },
    targetDefaults: { 'slim-go:build': { options: { platforms: ['plan9/386'] } } },
  });
  expect(targets.build!.outputs).toEqual(['{projectRoot}/bin/linux/arm64', '{projectRoot}/bin/linux/arm/v7']);
  expect(targets.image!.options.platforms).toEqual(['linux/arm64', 'linux/arm/v7']);
  expect(targets.image!.dependsOn).toBeUndefined();
});

it('names the module files of a large go.work by pattern where third-party code takes part, and one by one elsewhere', () => {
  const dirs = Array.from({ length: 150 }, (_, index) => `libs/l${index}`);
  const files = {
    ...Object.fromEntries(dirs.map((dir) => [`${dir}/go.mod`, `module ex.com/acme/${dir}\n\ngo 1.24\n`])),
    ...Object.fromEntries(dirs.map((dir) => [`${dir}/l.go`, 'package l\n'])),
    'go.work': `go 1.24\n\nuse (\n${[...dirs, 'plain', 'third'].map((dir) => `\t./${dir}\n`).join('')})\n`,
    'plain/go.mod': 'module ex.com/acme/plain\n\ngo 1.24\n',
    'plain/main.go': main,
    'third/go.mod': 'module ex.com/acme/third\n\ngo 1.24\n\nrequire ex.com/other v1.0.0\n',
    'third/main.go': 'package main\n\nimport _ "ex.com/other"\n\nfunc main() {}\n',
  };
  expect(filesets(targetsIn(files, 'third').build!.inputs)).toContain(
    '{workspaceRoot}/**/{go.mod,go.sum,go.work,go.work.sum,modules.txt}',
  );
  expect(filesets(targetsIn(files, 'plain').build!.inputs)).toContain(
    '{workspaceRoot}/{go.work,plain/go.mod,plain/go.sum,vendor/modules.txt}',
  );
});

it('makes docker-run continuous where the Dockerfile exposes a port', () => {
  const files = { ...app, 'apps/hello/Dockerfile': `${dockerfile}EXPOSE 8080\n` };
  expect(targetsIn(files, 'apps/hello')['docker-run']!.continuous).toBe(true);
});

it('has an image that compiles for itself depend on its context, as .dockerignore leaves it, and on no build', () => {
  const files = {
    ...app,
    'apps/hello/Dockerfile':
      'FROM golang:1.24 AS build\nCOPY go.mod ./\nCOPY . .\nRUN go build -o /hello ./apps/hello\nFROM scratch\nCOPY --from=build /hello /hello\n',
    'apps/hello/Dockerfile.dockerignore': '**\n!go.mod\n!**/*.go\n**/*_test.go\n',
  };
  const stated = { 'apps/hello': { targets: { image: { options: { context: '.' } } } } };
  const { image } = targetsIn(files, 'apps/hello', { stated });
  expect(image!.dependsOn).toBeUndefined();
  const inputs = filesets(image!.inputs);
  expect(inputs).toEqual(
    expect.arrayContaining(['{workspaceRoot}/**/*.go', '{workspaceRoot}/go.mod', '!{workspaceRoot}/**/*_test.go']),
  );
  expect(inputs).not.toContain('{workspaceRoot}/**/*');
});

it('keeps what decides about the image an input where .dockerignore hides it, and takes away nothing it only resembles', () => {
  const files = {
    ...app,
    'apps/hello/Dockerfile': 'FROM golang:1.24 AS build\nCOPY . .\nRUN go build -o /hello .\n',
    'apps/hello/.dockerignore': '**/Dockerfile*\n.dockerignore\n*\\*.go\n[a-c].txt\n**/*.md\n',
  };
  const inputs = filesets(targetsIn(files, 'apps/hello').image!.inputs);
  expect(inputs.filter((input) => input.startsWith('!'))).toEqual([
    '!{workspaceRoot}/apps/hello/**/*.md',
    '!{workspaceRoot}/apps/hello/**/*.md/**/*',
    '!{workspaceRoot}/apps/hello/dist/**/*',
  ]);
});

it('takes files that the Dockerfile copies beside the binary', () => {
  const files = { ...app, 'apps/hello/Dockerfile': `${dockerfile}COPY public/ etc/*.conf /srv/\n` };
  const inputs = filesets(targetsIn(files, 'apps/hello').image!.inputs);
  expect(inputs).toEqual(
    expect.arrayContaining(['{workspaceRoot}/apps/hello/public/**/*', '{workspaceRoot}/apps/hello/etc/*.conf']),
  );
  expect(JSON.stringify(inputs)).not.toContain('dist');
});

it('keeps the targets of a Dockerfile that can not be read, and says why', () => {
  const targets = targetsIn({ ...app, 'apps/hello/Dockerfile': 'FORM scratch\n' }, 'apps/hello');
  expect(targets.image!.dependsOn).toEqual(['build']);
  expect(warnings.join()).toMatch(/apps\/hello\/Dockerfile:1:.*FORM/);
});

it('calls targets as the plugin options say', () => {
  const targets = targetsIn(app, 'apps/hello', {
    options: { buildTargetName: 'compile', imageTargetName: 'oci', dockerBuildTargetName: 'load' },
  });
  expect(targets.oci!.dependsOn).toEqual(['compile']);
  expect(targets.load!.dependsOn).toEqual(['oci']);
  expect(targets.build).toBeUndefined();
});

describe('go.deps.json', () => {
  const goMod = 'module example.com/acme\n\ngo 1.24\n\nrequire (\n\texample.com/a v1.0.0\n\texample.com/b v1.0.0\n)\n';
  const files = {
    ...app,
    'go.mod': goMod,
    'apps/hello/main.go': 'package main\n\nimport _ "example.com/a/x"\n\nfunc main() {}\n',
  };
  const context = (() => {
    const tree = new GoTree({
      files: Object.keys(files),
      read: (file) => Buffer.from(files[file as keyof typeof files]),
    });
    return tree.context(tree.modules.get('')!);
  })();
  const state = moduleState(context, (file) => files[file as keyof typeof files]);
  const deps = (packages: Readonly<Record<string, string>>) => JSON.stringify({ ...state, packages });
  const moduleInputsOf = (text: string, others: Readonly<Record<string, string>> = {}) =>
    targetsIn({ ...files, 'go.deps.json': text, ...others }, 'apps/hello').build!.inputs!.filter((input) =>
      /go\.(mod|sum|work|deps)/.test(JSON.stringify(input)),
    );
  const whole = [expect.stringMatching(/go\.mod.*go\.sum/)];

  it('stands for the module files where it is true to them and knows every package', () => {
    expect(moduleInputsOf(deps({ [packageKey('example.com/a/x')]: '1', [packageKey('example.com/b')]: '2' }))).toEqual([
      { json: '{workspaceRoot}/go.deps.json', fields: ['go', 'packages.example%2Ecom/a/x'] },
      expect.stringMatching(/^\{workspaceRoot\}\/\{go\.work,go\.work\.sum,vendor\/modules\.txt\}$/),
    ]);
  });

  it('stands for nothing where it does not know a package, is not true any more, or is not one', () => {
    expect(moduleInputsOf(deps({ [packageKey('example.com/b')]: '2' }))).toEqual(whole);
    const all = deps({ [packageKey('example.com/a/x')]: '1' });
    expect(moduleInputsOf(all, { 'go.mod': goMod.replace('b v1.0.0', 'b v1.0.1') })).toEqual(whole);
    expect(moduleInputsOf(all, { 'go.sum': 'x' })).toEqual(whole);
    expect(moduleInputsOf('{}')).toEqual(whole);
  });

  it('tells that no third-party package of a program imports a published module of the repository', () => {
    const work = {
      'go.work': 'go 1.24\n\nuse (\n\t./app\n\t./lib\n)\n',
      'app/go.mod': 'module ex.com/app\n\ngo 1.24\n\nrequire (\n\tex.com/lib v1.0.0\n\tex.com/third v1.0.0\n)\n',
      'app/main.go': 'package main\n\nimport _ "ex.com/third"\n\nfunc main() {}\n',
      'lib/go.mod': 'module ex.com/lib\n\ngo 1.24\n',
      'lib/l.go': 'package lib\n',
    };
    const tree = new GoTree({
      files: Object.keys(work),
      read: (file) => Buffer.from(work[file as keyof typeof work]),
    });
    const readText = (file: string) => work[file as keyof typeof work];
    const workState = moduleState(tree.context(tree.modules.get('app')!), readText);
    const built = (packages: object) => {
      const text = JSON.stringify({ ...workState, packages });
      return filesets(targetsIn({ ...work, 'go.deps.json': text }, 'app').build!.inputs).join(' ');
    };
    expect(built({})).toContain('/{app,lib}/*.');
    expect(built({ [packageKey('ex.com/third')]: '1' })).not.toContain('lib');
  });
});

it('tests only the packages of its own project', () => {
  const files = { ...app, 'libs/greet/greet_test.go': 'package greet\n', 'apps/shared/s.go': 'package shared\n' };
  expect(targetsIn(files, '').test!.options).toEqual({ packages: ['./apps/shared/...', './libs/...'] });
  expect(targetsIn(files, 'apps/hello').test!.options).toEqual({});
});

it('caches tests and their reports, but neither benchmarks nor fuzzing', () => {
  const far = '// A long file.\n'.repeat(2000);
  const files = {
    ...app,
    'apps/hello/bench_test.go': `package main\n\n${far}func BenchmarkHello(b *testing.B) {}\n`,
    'apps/hello/fuzz_test.go': `package main\n\n${far}func FuzzHello(f *testing.F) {}\n`,
    'apps/tool/main_test.go':
      'package main\n\n// func FuzzNothing(\nfunc Benchmarks() {}\nfunc TestX(t *testing.T) {}\n',
    'apps/tool/fuzz.go': 'package main\n\nfunc FuzzOf() {}\n',
  };
  const { test, bench, fuzz } = targetsIn(files, 'apps/hello');
  expect(Object.keys(targetsIn(files, 'apps/tool'))).not.toEqual(expect.arrayContaining(['bench']));
  expect(Object.keys(targetsIn(files, 'apps/tool'))).not.toEqual(expect.arrayContaining(['fuzz']));
  expect(test).toMatchObject({ executor: 'slim-go:test', cache: true });
  expect(test!.outputs).toContain('{options.junit}');
  for (const target of [bench!, fuzz!]) {
    expect(target).toMatchObject({ executor: 'slim-go:test', cache: false });
    expect(target.inputs).toBeUndefined();
  }
});

it("takes for a test's inputs what its build tags let it import", () => {
  const files = {
    ...app,
    'apps/hello/far_test.go': '//go:build far\n\npackage main\n\nimport _ "ex.com/acme/libs/far"\n',
    'libs/far/far.go': 'package far\n',
  };
  expect(JSON.stringify(targetsIn(files, 'apps/hello').test!.inputs)).not.toContain('far');
  const stated = { 'apps/hello': { targets: { test: { options: { buildTags: ['far'] } } } } };
  expect(JSON.stringify(targetsIn(files, 'apps/hello', { stated }).test!.inputs)).toContain('libs/far');
});

describe('lint', () => {
  const lint = (files: Readonly<Record<string, string>>, options: object = {}) =>
    targetsIn({ ...app, ...files }, 'apps/hello', {
      stated: { 'apps/hello': { targets: { lint: { options: { ...options } } } } },
    }).lint!;
  const version = (...args: Parameters<typeof lint>) => JSON.stringify(lint(...args).inputs);

  it('has every place where a configuration may appear among its inputs', () => {
    const names = '{.golangci.yml,.golangci.yaml,.golangci.toml,.golangci.json,staticcheck.conf}';
    expect(filesets(lint({}).inputs)).toEqual(
      expect.arrayContaining([`{workspaceRoot}/${names}`, `{workspaceRoot}/{apps/hello,apps}/${names}`]),
    );
    expect(filesets(lint({}, { config: 'tools/golangci.yml' }).inputs)).toContain('{workspaceRoot}/tools/golangci.yml');
  });

  it('asks the linter that it will take for its version, and no other', () => {
    const [golangci, staticcheck] = ['golangci-lint version ||', 'staticcheck -debug.version ||'];
    expect(version({})).not.toMatch(/golangci-lint version|staticcheck -debug/);
    expect(version({ '.golangci.toml': '' })).toContain(golangci);
    expect(version({ 'apps/staticcheck.conf': '' })).toContain(staticcheck);
    expect(version({ 'apps/staticcheck.conf': '', '.golangci.yml': '' })).not.toContain(staticcheck);
    expect(version({ '.golangci.yml': '' }, { linter: 'vet' })).not.toContain(golangci);
    expect(version({ 'libs/.golangci.yml': '' })).not.toContain(golangci);
    expect(version({}, { linter: 'staticcheck' })).toContain(staticcheck);
    expect(version({}, { config: 'x.yml' })).toContain(golangci);
  });

  it('takes the version of a tool from go.mod where it stands there', () => {
    const tool = '\ntool github.com/golangci/golangci-lint/v2/cmd/golangci-lint\n';
    const files = { '.golangci.yml': '', 'go.mod': `${app['go.mod']}${tool}` };
    expect(version(files)).not.toContain('golangci-lint version');
    expect(filesets(lint(files).inputs)).toContain('{workspaceRoot}/{go.mod,go.sum}');
  });
});

it('tidies a module from the project at its root, where that is none from each', () => {
  const programs = { 'go.mod': app['go.mod'], 'a/main.go': main, 'b/main.go': main };
  expect(targetsIn(programs, 'a').tidy).toMatchObject({ executor: 'slim-go:tidy', cache: false });
  expect(targetsIn(programs, 'b').tidy).toBeDefined();
  expect(targetsIn(app, '').tidy).toBeDefined();
  expect(targetsIn(app, 'apps/hello').tidy).toBeUndefined();
});

describe('generate', () => {
  const files = {
    ...app,
    'apps/hello/last.go': `package main\n\n${'// A long file.\n'.repeat(2000)}//go:generate ./make.sh\n`,
    'libs/greet/greet.go': 'package greet\n\nconst text = "//go:generate not at a line\'s start"\n//go:generated\n',
  };

  it('is there where some line of a file asks for it', () => {
    expect(targetsIn(files, 'apps/hello').generate).toMatchObject({ executor: 'slim-go:generate', cache: false });
    expect(targetsIn(files, '').generate).toBeUndefined();
  });

  it('is cached where outputs are declared, which are then no inputs', () => {
    const stated = { 'apps/hello': { targets: { generate: { outputs: ['{projectRoot}/gen'] } } } };
    const { generate } = targetsIn(files, 'apps/hello', { stated });
    expect(generate!.cache).toBe(true);
    expect(filesets(generate!.inputs)).toEqual(
      expect.arrayContaining([
        '{workspaceRoot}/apps/hello/**/*',
        '{workspaceRoot}/**/*.go',
        '!{workspaceRoot}/apps/hello/gen/**/*',
      ]),
    );
  });
});

it('does not cache vuln where the database is not to be put into a command', () => {
  const vuln = (db: string) =>
    targetsIn(app, 'apps/hello', { stated: { 'apps/hello': { targets: { vuln: { options: { db } } } } } }).vuln!;
  expect(vuln('https://vuln.example.com').cache).toBe(true);
  expect(filesets(vuln('tools/vulndb').inputs)).toContain('{workspaceRoot}/tools/vulndb/**/*');
  expect(vuln('x"; rm -rf ~').cache).toBe(false);
  expect(vuln('$(id)').cache).toBe(false);
});

it('gives every build of a go.work other inputs while a module that it uses is gone', () => {
  const files = {
    'go.work': 'go 1.24\n\nuse (\n\t./app\n\t"./gone away"\n)\n',
    'app/go.mod': 'module ex.com/app\n\ngo 1.24\n',
    'app/main.go': main,
  };
  const gone = { runtime: 'echo no go.mod in gone_away' };
  expect(targetsIn(files, 'app').build!.inputs).toContainEqual(gone);
  const there = targetsIn({ ...files, 'gone away/go.mod': 'module ex.com/g\n\ngo 1.24\n' }, 'app');
  expect(there.build!.inputs).not.toContainEqual(gone);
});

it('describes every target, and shows how to ask for help and what options look like', () => {
  const dockerfile = 'FROM alpine:3.22\nCOPY dist/linux /\nEXPOSE 80\n';
  const targets = {
    ...targetsIn({ ...app, 'apps/hello/Dockerfile': dockerfile }, 'apps/hello'),
    ...targetsIn(app, ''),
  };
  expect(Object.keys(targets)).toEqual(expect.arrayContaining(['tidy', 'update-base']));
  for (const [name, { metadata }] of Object.entries(targets)) {
    expect([name, metadata?.description]).toEqual([name, expect.stringMatching(/^[A-Z].{10}/)]);
    expect([name, metadata?.help?.command]).toEqual([
      name,
      expect.stringMatching(/^(npx nx run \S+:\S+ --help|go help \w+)$/),
    ]);
    expect([name, metadata?.help?.example]).toEqual([name, expect.anything()]);
    expect(metadata?.technologies).toContain('go');
  }
});
