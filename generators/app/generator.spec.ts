import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readJson, type Tree, writeJson } from '@nx/devkit';
import { withUse } from '../go-work';
import init from '../init/generator';
import { workspace } from '../workspace.testdata';
import app from './generator';

const defaults = {
  template: 'cli',
  base: 'scratch',
  dockerfile: 'prebuilt',
  port: 8080,
  certs: false,
  tzdata: false,
  skipFormat: true,
} as const;
type Overrides = Partial<Omit<Parameters<typeof app>[1], 'directory'>>;

const generate = (tree: Tree, directory: string, options: Overrides = {}) =>
  app(tree, { ...defaults, directory, ...options });

/** Writes the tree to its folder on disk. */
function flush(tree: Tree): void {
  for (const { path, content } of tree.listChanges()) {
    if (!content) continue;
    mkdirSync(dirname(join(tree.root, path)), { recursive: true });
    writeFileSync(join(tree.root, path), content);
  }
}

function go(cwd: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('go', args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, CGO_ENABLED: '0' },
  });
  expect(`${stderr}${status}`).toBe('0');
  return stdout;
}

function expectSoundGo(tree: Tree, directory: string): void {
  const cwd = join(tree.root, directory);
  expect(spawnSync('gofmt', ['-l', '.'], { cwd, encoding: 'utf8' }).stdout).toBe('');
  go(cwd, 'vet', '.');
  expect(go(cwd, 'test', '-v', '.')).toMatch(/^--- PASS: Test/m);
}

const files = (tree: Tree, directory: string) => tree.children(directory).sort();

describe('app', () => {
  it('makes a program that go formats, vets, tests and runs, with a Dockerfile and no project.json', async () => {
    const tree = workspace();
    await generate(tree, 'apps/hello');
    expect(files(tree, 'apps/hello')).toEqual(['.dockerignore', 'Dockerfile', 'main.go', 'main_test.go']);
    expect(tree.read('apps/hello/Dockerfile', 'utf8')).toBe(
      `FROM scratch
ARG TARGETPLATFORM
COPY dist/\${TARGETPLATFORM}/hello /hello
USER 65532:65532
ENTRYPOINT ["/hello"]
`,
    );
    flush(tree);
    expectSoundGo(tree, 'apps/hello');
    expect(go(tree.root, 'run', './apps/hello')).toBe('Hello, World!\n');
  });

  it('makes an http server with health check, whose target publishes its port and is ready when it answers', async () => {
    const tree = workspace();
    await generate(tree, 'apps/api', { template: 'http', port: 9090, tzdata: true, tags: 'scope:web, type:app' });
    expect(tree.read('apps/api/Dockerfile', 'utf8')).toBe(
      `FROM scratch
ARG TARGETPLATFORM
COPY dist/\${TARGETPLATFORM}/api /api
USER 65532:65532
EXPOSE 9090
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s CMD ["/api", "-healthcheck"]
ENTRYPOINT ["/api"]
`,
    );
    expect(readJson(tree, 'apps/api/project.json')).toMatchObject({
      name: 'api',
      tags: ['scope:web', 'type:app'],
      targets: {
        'docker-run': { options: { ports: ['9090:9090'] }, readyWhen: { url: 'http://127.0.0.1:9090/healthz' } },
      },
    });
    flush(tree);
    expectSoundGo(tree, 'apps/api');
    const { $schema } = readJson(tree, 'apps/api/project.json');
    expect($schema).toBe('../../node_modules/nx/schemas/project-schema.json');
  });

  it('ends by itself on SIGTERM, after the health check was answered', async () => {
    const tree = workspace();
    await generate(tree, 'api', { template: 'http' });
    flush(tree);
    writeFileSync(
      join(tree.root, 'api', 'sigterm_test.go'),
      `package main
import ("os";"io";"log/slog";"syscall";"testing";"net")
func TestSigterm(t *testing.T) {
	free, _ := net.Listen("tcp", "127.0.0.1:0"); address := free.Addr().String(); free.Close()
	done := make(chan error, 1)
	go func() { done <- run(address, slog.New(slog.NewTextHandler(io.Discard, nil))) }()
	for probe(address) != nil {}
	process, _ := os.FindProcess(os.Getpid()); process.Signal(syscall.SIGTERM)
	if err := <-done; err != nil { t.Fatal(err) }
}
`,
    );
    expect(go(join(tree.root, 'api'), 'test', '-v', '-run', 'Sigterm', '.')).toContain('--- PASS: TestSigterm');
  });

  it('takes the alpine base, and embeds no certificates there', async () => {
    const tree = workspace();
    await generate(tree, 'apps/hello', { base: 'alpine', certs: true });
    expect(tree.read('apps/hello/Dockerfile', 'utf8')).toMatch(/^FROM alpine:\d+\.\d+\n/);
    expect(tree.read('apps/hello/main.go', 'utf8')).not.toContain('x509roots');
  });

  it('compiles certificates and time zones in, once go get has fetched the module', async () => {
    const tree = workspace();
    // Otherwise the callback of init installs the package from the registry.
    writeJson(tree, 'package.json', { devDependencies: { 'slim-go': '0.0.0' } });
    const callback = await generate(tree, 'apps/hello', { certs: true, tzdata: true });
    flush(tree);
    await callback();
    expectSoundGo(tree, 'apps/hello');
    expect(readFileSync(join(tree.root, 'go.mod'), 'utf8')).toContain('golang.org/x/crypto/x509roots/fallback');
  });

  it('makes a multistage Dockerfile whose context is the module, so that libraries of the repository are found', async () => {
    const tree = workspace();
    await generate(tree, 'apps/hello', { dockerfile: 'multistage' });
    expect(files(tree, 'apps/hello')).toEqual([
      'Dockerfile',
      'Dockerfile.dockerignore',
      'main.go',
      'main_test.go',
      'project.json',
    ]);
    const text = tree.read('apps/hello/Dockerfile', 'utf8') ?? '';
    expect(text).toMatch(/^# docker build -f apps\/hello\/Dockerfile \.\nFROM golang:1\.\d+-alpine AS build\n/);
    expect(text.indexOf('go mod download')).toBeLessThan(text.indexOf('COPY . .'));
    expect(text).toContain('-o /hello ./apps/hello\n\nFROM scratch\n');
    expect(readJson(tree, 'apps/hello/project.json').targets).toEqual({ image: { options: { context: '.' } } });
  });

  it('gives each program a module of its own in a go.work, and touches nothing else in that file', async () => {
    const tree = workspace();
    await init(tree, { layout: 'workspace', skipFormat: true });
    await generate(tree, 'apps/hello', { dockerfile: 'multistage' });
    await generate(tree, 'apps/tool', { module: 'example.com/acme/tool/v2' });
    expect(tree.exists('go.mod')).toBe(false);
    expect(tree.read('apps/hello/go.mod', 'utf8')).toMatch(/^module example\.com\/proj\/apps\/hello\n\ngo 1\./);
    expect(tree.read('apps/tool/Dockerfile', 'utf8')).toContain('/tool /tool\n');
    expect(tree.read('apps/hello/Dockerfile', 'utf8')).toContain('! -name go.work ');
    flush(tree);
    expectSoundGo(tree, 'apps/hello');
    expectSoundGo(tree, 'apps/tool');
    expect(go(tree.root, 'list', '-m')).toBe('example.com/proj/apps/hello\nexample.com/acme/tool/v2\n');
  });

  it('belongs to the module around it, and to one of its own when asked', async () => {
    const tree = workspace();
    tree.write('services/go.mod', 'module github.com/acme/services\n\ngo 1.21\n');
    await generate(tree, 'services/cmd/api', { dockerfile: 'multistage' });
    expect(tree.exists('services/cmd/api/go.mod')).toBe(false);
    expect(tree.read('services/cmd/api/Dockerfile', 'utf8')).toMatch(
      /^# docker build -f services\/cmd\/api\/Dockerfile services\n/,
    );
    expect(tree.read('services/cmd/api/Dockerfile', 'utf8')).toContain('golang:1.21-alpine');
    expect(tree.read('services/cmd/api/Dockerfile', 'utf8')).toContain('-o /api ./cmd/api\n');
    await generate(tree, 'services/own', { module: 'github.com/acme/own' });
    expect(tree.read('services/own/go.mod', 'utf8')).toContain('module github.com/acme/own\n');
  });

  it('overwrites nothing, and names what is in the way', async () => {
    const tree = workspace();
    tree.write('apps/hello/Dockerfile', 'FROM busybox\n');
    tree.write('apps/hello/lib.go', 'package lib\n');
    await expect(generate(tree, 'apps/hello')).rejects.toThrow(/^apps\/hello has Dockerfile, lib\.go already; nothing/);
    expect(tree.read('apps/hello/Dockerfile', 'utf8')).toBe('FROM busybox\n');
  });

  it.each([
    ['apps/Hello', /"Hello" can't be the name .*upper case[\s\S]*"hello" would do/],
    ['apps/-x', /Docker takes lower-case/],
    ['apps/a..b', /Docker takes lower-case/],
    ['apps/con', /device on Windows/],
    ['apps/grüße', /only ASCII letters/],
    ['apps/a b', /only ASCII letters/],
    ['apps/internal', /private to its parent/],
    ['apps/vendor/x', /copies of other modules/],
    ['apps/testdata', /Go passes by/],
    ['_apps/x', /Go passes by/],
    ['dist/x', /git ignores/],
    ['../x', /outside the workspace/],
    ['/x', /absolute/],
    ['C:\\x', /absolute/],
  ])('refuses the folder %s with the reason', async (directory, reason) => {
    await expect(generate(workspace(), directory)).rejects.toThrow(reason);
  });

  it('takes backslashes, a trailing slash and a name', async () => {
    const tree = workspace();
    await generate(tree, 'apps\\hello\\', { name: 'greeter' });
    expect(readJson(tree, 'apps/hello/project.json').name).toBe('greeter');
    expect(tree.read('apps/hello/Dockerfile', 'utf8')).toContain('/hello /hello');
  });

  it('refuses a name that another project has, also an inferred one', async () => {
    const tree = workspace();
    await generate(tree, 'apps/hello');
    await expect(generate(tree, 'tools/hello')).rejects.toThrow(
      'There is a project "hello" already, in apps/hello.\n  Give',
    );
    await generate(tree, 'tools/hello', { name: 'hello-tool' });
    await expect(generate(tree, 'apps/other', { name: 'hello-tool' })).rejects.toThrow('in tools/hello');
  });
});

describe('withUse', () => {
  it.each([
    ['go 1.26.0\n', 'go 1.26.0\n\nuse ./a\n'],
    ['go 1.26\n\nuse (\n\t./x // ) first\n)\n\n// tail\n', 'go 1.26\n\nuse (\n\t./x // ) first\n\t./a\n)\n\n// tail\n'],
    ['go 1.26\r\nuse (\r\n\t./x\r\n)\r\n', 'go 1.26\r\nuse (\r\n\t./x\r\n\t./a\r\n)\r\n'],
    ['go 1.26\nuse ./x', 'go 1.26\nuse ./x\n\nuse ./a\n'],
    ['go 1.26\nuse a\n', 'go 1.26\nuse a\n'],
    ['go 1.26\nuse "./a/"\n', 'go 1.26\nuse "./a/"\n'],
  ])('adds a folder to %j', (before, after) => {
    expect(withUse(before, 'a')).toBe(after);
    const folder = workspace().root;
    writeFileSync(join(folder, 'go.work'), after);
    for (const name of ['a', 'x']) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'go.mod'), `module example.com/${name}\n`);
    }
    expect(go(folder, 'list', '-m')).toContain('example.com/a\n');
    expect(existsSync(join(folder, 'go.work'))).toBe(true);
  });
});
