import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync, utimesSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type CommandResult, signalGroup, Workspace } from './support/workspace';

jest.setTimeout(300_000);

/** Everything that serve leaves outside of the workspace would lie, or have its name, in here. */
const temporary = realpathSync(mkdtempSync(join(tmpdir(), 'slim-go-serve-spec-')));
let workspace: Workspace;
let port: number;

beforeAll(async () => {
  workspace = await Workspace.create();
  await workspace.nx(['g', 'slim-go:init']);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ({ port } = server.address() as { port: number });
  await new Promise((resolve) => server.close(resolve));
});
/** What a failed test leaves must not answer the next one. */
const started = new Set<ChildProcess>();
afterEach(async () => {
  for (const child of started) child.kill('SIGKILL');
  started.clear();
  await nothingIsLeft();
});
afterAll(() => {
  workspace?.remove();
  rmSync(temporary, { recursive: true, force: true });
});

/** What the target that is being tested has said so far. */
let output = '';

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const start = Date.now(); !(await holds()); await delay(20)) {
    if (Date.now() - start > 60_000) throw new Error(`waited in vain for ${what}; there was\n${output}`);
  }
}

async function says(pattern: RegExp): Promise<void> {
  await until(String(pattern), () => pattern.test(output));
}

async function answers(text: string): Promise<void> {
  await until(`the answer ${text}`, async () => !!(await answer())?.endsWith(text));
}

/** What there is of serve: programs and guards have the folder's name in their command line. */
function left() {
  const processes = execFileSync('ps', ['-eo', 'pid=,stat=,args='], { encoding: 'utf8' })
    .split('\n')
    .flatMap((line) => {
      const [, pid, state, args] = /^\s*(\d+) (\S+)\s+(.*)$/.exec(line) ?? [];
      return args?.includes(temporary) && !state?.startsWith('Z') ? [{ pid: Number(pid), args }] : [];
    });
  return { processes, folders: readdirSync(temporary).filter((name) => name.startsWith('slim-go-serve-')) };
}

/** Connects and reads; undefined where nobody listens. */
function answer(path = '/'): Promise<string | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(`GET ${path} HTTP/1.0\r\n\r\n`));
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', () => resolve(undefined));
    socket.on('close', () => resolve(text === '' ? undefined : text));
  });
}

async function nothingIsLeft(): Promise<void> {
  await until('no process and no folder', () => left().processes.length + left().folders.length === 0);
  expect(await answer()).toBeUndefined();
}

/** Starts a target that runs while the test does things. */
function start(args: readonly string[]): { readonly child: ChildProcess; readonly done: Promise<CommandResult> } {
  output = '';
  let child: ChildProcess;
  const done = workspace.tryNx(args, {
    env: { TMPDIR: temporary, PORT: String(port) },
    onStart: (process) => {
      child = process;
      started.add(process);
    },
    onOutput: (text) => {
      output = text;
    },
  });
  return { child: child!, done };
}

describe('serve', () => {
  const main = 'apps/api/main.go';
  const edit = (file: string, from: string, to: string): void => {
    const text = workspace.read(file);
    if (!text.includes(from)) throw new Error(`${file} holds no ${from}`);
    workspace.write(file, text.replace(from, to));
  };

  beforeAll(async () => {
    await workspace.nx(['g', 'slim-go:app', 'apps/api', '--template=http']);
    await workspace.nx(['g', 'slim-go:lib', 'libs/greet']);
    await workspace.nx(['g', 'slim-go:lib', 'libs/other']);
    workspace.write('libs/greet/text.go', 'package greet\n\nconst Text = "Hello, World!"\n');
    edit(main, '"time"\n', '"time"\n\n\t"example.com/acme/libs/greet"\n');
    edit(main, '"Hello, World!\\n"', 'greet.Text+os.Getenv("MARK")+"\\n"');
    workspace.write('dev.env', 'MARK=1\n');
  });

  it('is a continuous, uncached target of a program, with help', async () => {
    const { targets } = JSON.parse(await workspace.nx(['show', 'project', 'api', '--json']));
    expect(targets.serve).toMatchObject({ continuous: true, cache: false, executor: 'slim-go:serve' });
    expect(JSON.parse(await workspace.nx(['show', 'project', 'other', '--json'])).targets.serve).toBeUndefined();
  });

  it('runs the program, anew after each change of what it is made of, and leaves nothing behind', async () => {
    const served = start(['run', 'api:serve', '--envFile=dev.env']);
    const starts = () => output.match(/started \(pid \d+\)/g)?.length;
    await answers('Hello, World!1\n');
    expect(output).toMatch(/building apps\/api\n[\s\S]*api: built in .*, started \(pid \d+\)\n/);

    // The library, then the program, then an env file.
    edit('libs/greet/text.go', 'World', 'Nx');
    await answers('Hello, Nx!1\n');
    edit(main, 'greet.Text+', '"main "+greet.Text+');
    await answers('main Hello, Nx!1\n');
    workspace.write('dev.env', 'MARK=2\n');
    await answers('main Hello, Nx!2\n');
    await says(/libs\/greet\/text\.go changed: building\n/);
    await says(/apps\/api\/main\.go changed: building\n/);
    await says(/dev\.env changed: starting again\n/);
    expect(starts()).toBe(4);

    // A build error shows where it is, and the former program answers on.
    edit('libs/greet/text.go', '"\n', '\n');
    await says(/^libs\/greet\/text\.go:3:\d+: newline in string/m);
    await says(/api: the former program goes on \(pid \d+\)\n/);
    expect(await answer()).toMatch(/main Hello, Nx!2\n$/);

    // What is no part of it: the next change that counts names only itself.
    workspace.write('README.md', 'about\n');
    workspace.write('apps/api/README.md', 'about\n');
    workspace.write('libs/other/more.go', 'package other\n');
    workspace.write('libs/greet/more_test.go', 'package greet\n');
    utimesSync(workspace.path(main), new Date(), new Date());
    await delay(500);
    edit('libs/greet/text.go', 'Hello, Nx!', 'Hello again"');
    await answers('main Hello again2\n');
    expect(output.match(/changed:/g)).toHaveLength(5);
    expect(starts()).toBe(5);

    signalGroup(served.child, 'SIGINT');
    await served.done;
    await nothingIsLeft();
  });

  it('lets another target wait for it, passes arguments on, and is ended with it', async () => {
    workspace.write(
      'apps/api/project.json',
      JSON.stringify({
        name: 'api',
        targets: {
          serve: { readyWhen: { port }, options: { env: { MARK: '3' } } },
          e2e: {
            command: `node -e "fetch('http://127.0.0.1:${port}/').then((r) => r.text()).then((text) => console.log('got', text))"`,
            dependsOn: [{ target: 'serve', waitFor: 'ready' }],
          },
        },
      }),
    );
    expect(await workspace.nx(['run', 'api:e2e'], { env: { TMPDIR: temporary, PORT: String(port) } })).toMatch(
      /got main Hello again3/,
    );
    await nothingIsLeft();
    const served = start(['run', 'api:serve', '--', '--env.MARK=5', '--wrong']);
    await says(/flag provided but not defined: -wrong/);
    await says(/api: exited with code 2; waiting for a change/);
    signalGroup(served.child, 'SIGTERM');
    await served.done;
    await nothingIsLeft();
  });

  it('leaves nothing behind when Nx is killed', async () => {
    const served = start(['run', 'api:serve']);
    await until('an answer', async () => (await answer()) !== undefined);
    served.child.kill('SIGKILL');
    await nothingIsLeft();
  });
});

describe('the executor by itself', () => {
  const program = (text: string) => `package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if os.Getenv("DEAF") != "" {
		signal.Ignore(syscall.SIGTERM)
	}
	if os.Getenv("ECHO") != "" {
		var word string
		fmt.Scan(&word)
		fmt.Println("read", word)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		panic(err)
	}
	for {
		connection, _ := listener.Accept()
		connection.Read(make([]byte, 100))
		fmt.Fprint(connection, "${text} "+os.Getenv("VALUE"))
		connection.Close()
	}
}
`;

  beforeAll(() => {
    workspace.write('apps/tiny/main.go', program('tiny'));
    workspace.write('apps/tiny/dev.env', 'VALUE=0\n');
  });

  /** Starts it as Nx does, with a channel between the two. */
  function execute(options: object) {
    const code = `
      const serve = require('slim-go/package.json') && require(process.cwd() + '/node_modules/slim-go/dist/executors/serve/executor.js').default;
      const projects = { tiny: { root: 'apps/tiny', targets: {} } };
      process.on('message', () => undefined);
      const context = { root: process.cwd(), cwd: process.cwd(), projectName: 'tiny', projectsConfigurations: { version: 2, projects } };
      serve(${JSON.stringify({
        args: [],
        env: { PORT: String(port) },
        envFile: 'apps/tiny/dev.env',
        cwd: '{projectRoot}',
        buildTarget: 'build',
        race: false,
        debounceMs: 20,
        stopTimeout: 20,
        __unparsed__: [],
        ...options,
      })}, context).then(({ success }) => process.exit(success ? 0 : 1));`;
    workspace.write('node_modules/.execute.js', code);
    const child = fork(workspace.path('node_modules/.execute.js'), [], {
      cwd: workspace.root,
      env: { ...process.env, TMPDIR: temporary, NODE_OPTIONS: '', FORCE_COLOR: undefined },
      stdio: ['pipe', 'pipe', 'pipe', 'ipc'],
      execArgv: [],
    });
    started.add(child);
    output = '';
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on('data', (chunk) => {
        output += chunk;
      });
    }
    return { child, exited: new Promise<number | null>((done) => child.on('exit', done)) };
  }

  it('passes standard input on', async () => {
    const run = execute({ env: { PORT: String(port), ECHO: '1' } });
    run.child.stdin!.write('something\n');
    await answers('tiny 0');
    expect(output).toContain('read something\n');
    run.child.kill('SIGTERM');
    expect(await run.exited).toBe(1);
    await nothingIsLeft();
  });

  it('kills a program that ignores SIGTERM, after its time', async () => {
    const run = execute({ stopTimeout: 0.5, env: { PORT: String(port), DEAF: '1' } });
    await answers('tiny 0');
    workspace.write('apps/tiny/dev.env', 'VALUE=deaf\n');
    await answers('tiny deaf');
    expect(output).toMatch(/tiny: pid \d+ did not end when asked to, and was killed\n/);
    run.child.kill('SIGHUP');
    await run.exited;
    await nothingIsLeft();
  });

  it.each([
    ['is killed', (child: ChildProcess) => child.kill('SIGKILL')],
    [
      'is interrupted a second time',
      (child: ChildProcess) => {
        child.kill('SIGINT');
        setTimeout(() => child.kill('SIGINT'), 1200);
      },
    ],
    ['loses Nx', (child: ChildProcess) => child.disconnect()],
  ])('leaves no program that ignores SIGTERM when it %s', async (_, end) => {
    const run = execute({ stopTimeout: 3, env: { PORT: String(port), DEAF: '1' } });
    await until('an answer', async () => (await answer()) !== undefined);
    end(run.child);
    await run.exited;
    await nothingIsLeft();
  });

  const proc = process.platform === 'linux' ? it : it.skip;
  proc('restarts 200 times without a process, a file or a watch too many', async () => {
    workspace.write('apps/tiny/dev.env', 'VALUE=start\n');
    const run = execute({});
    await answers('tiny start');
    const held = () => {
      const folder = `/proc/${run.child.pid}`;
      const files = readdirSync(`${folder}/fd`).map((fd) => {
        try {
          return readlinkSync(`${folder}/fd/${fd}`);
        } catch {
          return '';
        }
      });
      const watches = readdirSync(`${folder}/fdinfo`)
        .map((fd) => readFileSync(`${folder}/fdinfo/${fd}`, 'utf8'))
        .flatMap((text) => text.match(/^inotify wd:/gm) ?? []);
      return {
        files: files.length,
        watches: watches.length,
        processes: left().processes.length,
        folders: left().folders.length,
      };
    };
    const before = held();
    expect(before).toMatchObject({ processes: 2, folders: 1 });
    expect(before.watches).toBeGreaterThan(2);
    for (let restart = 1; restart <= 200; restart++) {
      if (restart % 10 > 0) workspace.write('apps/tiny/dev.env', `VALUE=${restart}\n`);
      else workspace.write('apps/tiny/main.go', program(`tiny${restart}`));
      const text = restart < 10 ? 'tiny' : `tiny${restart - (restart % 10)}`;
      await answers(`${text} ${restart % 10 > 0 ? restart : restart - 1}`);
    }
    expect(output.match(/started \(pid/g)).toHaveLength(201);
    expect(output).not.toContain('waiting for a change');
    expect(held()).toEqual(before);
    run.child.kill('SIGTERM');
    await run.exited;
    await nothingIsLeft();
  });
});
