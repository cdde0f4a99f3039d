import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { cacheHits } from './support/cache-hits';
import { goTool } from './support/go-tools';
import { type CommandOptions, Workspace } from './support/workspace';

jest.setTimeout(600_000);

const fine = 'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Printf("%d\\n", 1)\n}\n';
const vetError = fine.replace('1)', '"one")');
const ugly = fine.replace('main() {', 'main( ) {');
/** golangci-lint complains of it (errcheck), go vet does not. */
const unchecked = 'package main\n\nimport "os"\n\nfunc main() {\n\tos.Remove("x")\n}\n';
/** staticcheck complains of it (S1021), go vet does not. */
const unmerged = 'package main\n\nfunc main() {\n\tvar x int\n\tx = 1\n\tprintln(x)\n}\n';
const main = 'apps/hello/main.go';
/** Where tools are compiled that are not on PATH. */
const toolsDir = mkdtempSync(join(tmpdir(), 'slim-go-tools-'));

describe('what looks at the sources, and what writes them', () => {
  let workspace: Workspace;
  let bin: string;

  const withPath = (folder: string): CommandOptions => ({
    env: { PATH: `${folder}${delimiter}${process.env.PATH}` },
  });

  /** Runs what must fail, twice: a failure is never a cache hit, and changes nothing in git's eyes. */
  async function fails(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const before = await workspace.run('git', ['status', '--porcelain', '--untracked-files=all']);
    const diff = await workspace.run('git', ['diff']);
    let output = '';
    for (let time = 0; time < 2; time++) {
      const result = await workspace.tryNx(args, options);
      output = result.output;
      expect([result.exitCode === 0, output]).toEqual([false, output]);
      expect(Object.values(cacheHits(output))).not.toContain(true);
    }
    expect(await workspace.run('git', ['status', '--porcelain', '--untracked-files=all'])).toBe(before);
    expect(await workspace.run('git', ['diff'])).toBe(diff);
    return output;
  }

  /** Runs what must pass: whether the first, and whether the second time, it came from the cache. */
  async function passes(target: string, options: CommandOptions = {}): Promise<readonly (boolean | undefined)[]> {
    const hits = [];
    for (let time = 0; time < 2; time++) {
      hits.push(cacheHits(await workspace.nx(['run', `hello:${target}`], options))[target]);
    }
    return hits;
  }

  beforeAll(async () => {
    workspace = await Workspace.create();
    await workspace.nx(['g', 'slim-go:init', '--module=example.com/acme']);
    workspace.write(main, fine);
    await workspace.commit('app');
    bin = workspace.path('.nx', 'bin');
    mkdirSync(bin, { recursive: true });
  });
  afterEach(async () => {
    await workspace.run('git', ['checkout', '-q', '.']);
    await workspace.run('git', ['clean', '-fdq']);
  });
  afterAll(() => {
    workspace?.remove();
    rmSync(toolsDir, { recursive: true, force: true });
  });

  describe('lint', () => {
    it('passes, and then comes from the cache', async () => {
      expect(await passes('lint')).toEqual([false, true]);
      expect(await workspace.nx(['run', 'hello:lint'])).toContain('go vet and gofmt: nothing to complain of');
    });

    it('fails for what go vet finds, and no earlier success hides it', async () => {
      workspace.write(main, vetError);
      const output = await fails(['run', 'hello:lint']);
      expect(output).toContain(`${main}:6:14: fmt.Printf format %d has arg "one" of wrong type string`);
      expect(output).toContain('go vet failed (exit status 1).');
    });

    it('fails for a file that gofmt would change, shows what, and does not change it', async () => {
      workspace.write('apps/hello/main_plan9.go', ugly);
      const output = await fails(['run', 'hello:lint']);
      expect(output).toContain('-func main( ) {\n+func main() {');
      expect(output).toContain('1 file is not formatted as gofmt does it: apps/hello/main_plan9.go.');
      expect(workspace.read('apps/hello/main_plan9.go')).toBe(ugly);
    });

    it('fails for what does not compile, with the words of the compiler', async () => {
      workspace.write(main, fine.replace('1)', 'nothing)'));
      expect(await fails(['run', 'hello:lint'])).toContain(`${main}:6:21: undefined: nothing`);
    });

    it.each([
      ['golangci-lint', '.golangci.yml', 'version: "2"\n'],
      ['staticcheck', 'apps/staticcheck.conf', 'checks = ["all"]\n'],
    ])('fails where %s is configured and not installed', async (name, config, text) => {
      workspace.write(config, text);
      const { GOROOT } = JSON.parse(await workspace.run('go', ['env', '-json', 'GOROOT']));
      rmSync(bin, { recursive: true, force: true });
      mkdirSync(bin);
      symlinkSync(process.execPath, `${bin}/node`);
      const output = await fails(['run', 'hello:lint'], {
        env: { PATH: [bin, `${GOROOT}/bin`, '/usr/bin', '/bin'].join(delimiter) },
      });
      expect(output).toContain(
        `${name} is not installed: it is no tool of go.mod and not on PATH. ${config} asks for it.`,
      );
      expect(output).toMatch(/go install \S+@v\d/);
      expect(output).not.toContain('go vet');
    });

    it('takes no arguments that rewrite', async () => {
      expect(await fails(['run', 'hello:lint', '--args=--fix'])).toContain('args: --fix rewrites files');
    });

    describe('staticcheck', () => {
      const folder = goTool('staticcheck', 'honnef.co/go/tools/cmd/staticcheck@v0.8.2', toolsDir);
      const test = folder === undefined ? it.skip : it;
      const options = withPath(folder ?? '');

      test('is run where it is configured', async () => {
        workspace.write('apps/hello/staticcheck.conf', 'checks = ["inherit"]\n');
        expect(await passes('lint', options)).toEqual([false, true]);
        workspace.write(main, unmerged);
        const output = await fails(['run', 'hello:lint'], options);
        expect(output).toContain(`${main}:4:2: should merge variable declaration with assignment on next line (S1021)`);
        expect(output).toContain('staticcheck failed (exit status 1).');
        // The configuration is an input, the one of a folder above as well.
        rmSync(workspace.path('apps/hello/staticcheck.conf'));
        workspace.write('staticcheck.conf', 'checks = ["all", "-S1021", "-ST1000"]\n');
        expect(await passes('lint', options)).toEqual([false, true]);
      });

      test('fails for a configuration that can not be read', async () => {
        workspace.write('staticcheck.conf', 'checks = [\n');
        expect(await fails(['run', 'hello:lint'], options)).toContain('staticcheck.conf:1:11');
      });
    });

    describe('golangci-lint', () => {
      const install = 'github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0';
      const folder = goTool('golangci-lint', install, toolsDir, true);
      const test = folder === undefined ? it.skip : it;
      const options = withPath(folder ?? '');

      test('is run where it is configured, and rewrites nothing though the configuration asks for that', async () => {
        workspace.write('.golangci.yml', 'version: "2"\nissues:\n  fix: true\nformatters:\n  enable:\n    - gofmt\n');
        expect(await passes('lint', options)).toEqual([false, true]);
        workspace.write(main, unchecked);
        expect(await fails(['run', 'hello:lint'], options)).toContain(
          `${main}:6:11: Error return value of \`os.Remove\` is not checked (errcheck)`,
        );
        workspace.write(main, ugly);
        expect(await fails(['run', 'hello:lint'], options)).toContain('File is not properly formatted (gofmt)');
        expect(workspace.read(main)).toBe(ugly);
      });

      test('fails for a configuration that can not be read, and takes another where one is named', async () => {
        workspace.write('.golangci.yml', 'version: "2"\nissues: [\n');
        expect(await fails(['run', 'hello:lint'], options)).toContain("can't load config");
        workspace.write('tools/golangci.yml', 'version: "2"\n');
        workspace.write('apps/hello/project.json', projectJson('lint', { options: { config: 'tools/golangci.yml' } }));
        expect(await passes('lint', options)).toEqual([false, true]);
        workspace.write('tools/golangci.yml', 'version: "2"\nlinters:\n  settings: 1\n');
        await fails(['run', 'hello:lint'], options);
      });
    });
  });

  describe('format', () => {
    it('checks without writing, then writes', async () => {
      workspace.write(main, ugly);
      const output = await fails(['run', 'hello:format', '--check']);
      expect(output).toContain(`1 file is not formatted as gofmt does it: ${main}.`);
      expect(await workspace.nx(['run', 'hello:format'])).toContain(`${main}\n1 of 1 files rewritten`);
      expect(workspace.read(main)).toBe(fine);
      await workspace.nx(['run-many', '-t', 'format', '--check']);
    });
  });

  describe('tidy', () => {
    it('checks without writing, then writes', async () => {
      workspace.write('libs/idle/go.mod', 'module example.com/idle\n');
      await workspace.run('go', [
        'mod',
        'edit',
        '-require=example.com/idle@v0.0.0',
        '-replace=example.com/idle=./libs/idle',
      ]);
      const output = await fails(['run', 'hello:tidy', '--check']);
      expect(output).toMatch(/-\s*require example\.com\/idle v0\.0\.0/);
      expect(output).toContain('go mod tidy would change go.mod or go.sum');
      await workspace.nx(['run', 'hello:tidy']);
      expect(workspace.read('go.mod')).not.toContain('require');
      await workspace.nx(['run', 'hello:tidy', '--check']);
    });
  });

  describe('generate', () => {
    const generator =
      'package main\n\nimport "os"\n\nfunc main() {\n\ttext, _ := os.ReadFile("words.txt")\n\tos.WriteFile("words.go", append([]byte("package main\\n\\n// "), text...), 0o644)\n}\n';
    const write = (): void => {
      workspace.write('libs/gen/main.go', generator);
      workspace.write(main, fine.replace('func main', '//go:generate go run ../../libs/gen\nfunc main'));
      workspace.write('apps/hello/words.txt', 'one\n');
    };

    it('runs each time, and its failure is one', async () => {
      write();
      expect(await passes('generate')).toEqual([false, false]);
      expect(workspace.read('apps/hello/words.go')).toBe('package main\n\n// one\n');
      workspace.write(main, workspace.read(main).replace('go run ../../libs/gen', 'slim-go-no-such-program'));
      const output = await fails(['run', 'hello:generate']);
      expect(output).toContain(`${main}:5: running "slim-go-no-such-program": exec:`);
    });

    it('is cached and restored where its outputs are declared', async () => {
      write();
      workspace.write('apps/hello/project.json', projectJson('generate', { outputs: ['{projectRoot}/words.go'] }));
      expect(await passes('generate')).toEqual([false, true]);
      rmSync(workspace.path('apps/hello/words.go'));
      expect(await passes('generate')).toEqual([true, true]);
      expect(workspace.read('apps/hello/words.go')).toBe('package main\n\n// one\n');
      workspace.write('apps/hello/words.txt', 'two\n');
      expect(await passes('generate')).toEqual([false, true]);
      workspace.write('libs/gen/main.go', generator.replace('// ', '// says '));
      expect(await passes('generate')).toEqual([false, true]);
      expect(workspace.read('apps/hello/words.go')).toBe('package main\n\n// says two\n');
    });
  });

  describe('vuln', () => {
    const calls = (use: string) =>
      `package main\n\nimport "golang.org/x/text/language"\n\nfunc main() {\n\t${use}\n}\n`;
    const called = calls('language.ParseAcceptLanguage("en")');
    const notCalled = calls('println(language.English.String())');
    const entry = { id: 'GO-2021-0113', modified: '2024-01-02T03:04:05Z' };
    const writeDatabase = (dir: string, modified: string): void => {
      const files = {
        'index/db.json': { modified },
        'index/modules.json': [{ path: 'golang.org/x/text', vulns: [{ ...entry, fixed: '0.3.7' }] }],
        'index/vulns.json': [entry],
        'ID/GO-2021-0113.json': {
          schema_version: '1.3.1',
          ...entry,
          published: '2021-10-06T17:51:21Z',
          summary: 'Out-of-bounds read in golang.org/x/text/language',
          details: 'A language tag can cause Parse to panic.',
          affected: [
            {
              package: { name: 'golang.org/x/text', ecosystem: 'Go' },
              ranges: [{ type: 'SEMVER', events: [{ introduced: '0' }, { fixed: '0.3.7' }] }],
              ecosystem_specific: {
                imports: [{ path: 'golang.org/x/text/language', symbols: ['ParseAcceptLanguage'] }],
              },
            },
          ],
          database_specific: { url: 'https://pkg.go.dev/vuln/GO-2021-0113' },
        },
      };
      for (const [name, value] of Object.entries(files)) workspace.write(`${dir}/${name}`, JSON.stringify(value));
    };

    beforeEach(async () => {
      workspace.write(main, notCalled);
      await workspace.run('go', ['get', 'golang.org/x/text@v0.3.5']);
    });

    it('fails where the code reaches a vulnerability, and passes where it does not', async () => {
      writeDatabase('vulndb', '2024-01-02T03:04:05Z');
      workspace.write('apps/hello/project.json', projectJson('vuln', { options: { db: 'vulndb' } }));
      workspace.write(main, called);
      const output = await fails(['run', 'hello:vuln']);
      expect(output).toContain('Vulnerability #1: GO-2021-0113');
      expect(output).toContain(`${main}:6:30: hello.main calls language.ParseAcceptLanguage`);
      expect(output).toContain('govulncheck found vulnerabilities.');
      workspace.write(main, notCalled);
      expect(await passes('vuln')).toEqual([false, true]);
      expect(await fails(['run', 'hello:vuln', '--scan=package'])).toContain('GO-2021-0113');
    });

    it('is no cache hit for another date of the database, nor where it can not be read', async () => {
      // Not among the workspace's files: only the date tells.
      const dir = '.nx/vulndb';
      const env = { GOVULNDB: pathToFileURL(workspace.path(dir)).href };
      writeDatabase(dir, '2024-01-02T03:04:05Z');
      expect(await passes('vuln', { env })).toEqual([false, true]);
      writeDatabase(dir, '2024-02-03T04:05:06Z');
      expect(await passes('vuln', { env })).toEqual([false, true]);
      rmSync(workspace.path(dir), { recursive: true });
      const output = await fails(['run', 'hello:vuln'], { env });
      expect(output).toContain(`The vulnerability database ${env.GOVULNDB} can't be read: nothing was checked.`);
      const unreachable = { env: { GOVULNDB: 'https://127.0.0.1:9' } };
      expect(await fails(['run', 'hello:vuln'], unreachable)).toContain("https://127.0.0.1:9 can't be read");
    });
  });
});

function projectJson(target: string, configuration: object): string {
  return JSON.stringify({ name: 'hello', targets: { [target]: configuration } });
}
