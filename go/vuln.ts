import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SlimGoError } from '../errors';
import { findTool, type Run, type ToolCall } from './tool';
import { type GoCall, goTooOld, moduleHint, programIn, runGo, runProgram, tagFlags } from './toolchain';

/** Packages to be looked at: nothing is left to decide. */
export interface ResolvedVuln {
  /** Absolute; names in output start here. */
  readonly moduleDir: string;
  /** `./apps/hello/...`: folders of the module, as the go command takes them. */
  readonly packages: readonly string[];
  /** URL of the database: `https://vuln.go.dev`, `file:///srv/vulndb`. */
  readonly database: string;
  /** The govulncheck to take where neither go.mod nor PATH has one: `v1.9.0`. */
  readonly version: string;
  /** What counts as a finding: a vulnerable symbol that is called, a package that is imported, a module that is required. */
  readonly scan: 'symbol' | 'package' | 'module';
  readonly tags: readonly string[];
  readonly tests: boolean;
  /** More arguments of govulncheck, before the packages. */
  readonly args: readonly string[];
}

const tool = 'golang.org/x/vuln/cmd/govulncheck';

/**
 * Looks for known vulnerabilities that packages can reach, from their sources.
 * @throws VULN_FAILED where one is found and where none could be looked for, TOOL_NOT_FOUND, GO_TOO_OLD
 */
export async function goVuln(vuln: ResolvedVuln, toolCall: ToolCall): Promise<void> {
  const call = { ...toolCall, cwd: vuln.moduleDir };
  const run = await findTool('govulncheck', call);
  if (run) return scan(vuln, run, call);
  const folder = await mkdtemp(join(tmpdir(), 'slim-go-vuln-'));
  try {
    toolCall.onStep?.(`compiling govulncheck ${vuln.version}: it is no tool of go.mod and not on PATH`);
    await scan(vuln, await install(vuln.version, folder, call), call);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Compiles govulncheck; the second time Go only links it. Not `go run`: that would put the Go which govulncheck asks for in the
 * place of the one whose standard library is to be judged.
 */
async function install(version: string, folder: string, call: GoCall): Promise<Run> {
  // As for this machine, whatever is built here otherwise.
  const env = { GOBIN: folder, GOOS: '', GOARCH: '', GOFLAGS: '' };
  const { exitCode, stderr } = await runGo(['install', `${tool}@${version}`], { ...call, env });
  const file = programIn(folder, 'govulncheck');
  if (exitCode === 0 && file !== undefined) return (args, runCall) => runProgram(file, args, runCall);
  throw (
    goTooOld(stderr, call.cwd) ??
    new SlimGoError('TOOL_NOT_FOUND', `govulncheck ${version} can't be installed (exit status ${exitCode}).`, {
      hint: `go's own messages stand above. Write it into go.mod: go get -tool ${tool}@${version} (Go 1.24 and later).`,
    })
  );
}

async function scan(vuln: ResolvedVuln, run: Run, call: GoCall): Promise<void> {
  const { moduleDir, packages, database, tags, tests, args } = vuln;
  const flags = [`-db=${database}`, `-scan=${vuln.scan}`, ...tagFlags(tags), ...(tests ? ['-test'] : [])];
  // A module scan takes no packages.
  const patterns = vuln.scan === 'module' ? [] : packages;
  const { exitCode, stderr } = await run([...flags, ...args, ...patterns], call);
  if (exitCode === 0) return;
  // https://pkg.go.dev/golang.org/x/vuln/cmd/govulncheck#hdr-Exit_codes
  if (exitCode === 3) {
    throw new SlimGoError('VULN_FAILED', 'govulncheck found vulnerabilities.', {
      hint: 'Take the version that "Fixed in" names, with go get, and then go mod tidy.',
    });
  }
  if (/creating client|fetching vulnerabilities|vulndb/.test(stderr)) {
    throw new SlimGoError('VULN_FAILED', `The vulnerability database ${database} can't be read: nothing was checked.`, {
      hint: 'See whether it is reachable from here, or name a copy in the option db or in GOVULNDB: https://, file:// or a folder of the workspace.',
    });
  }
  throw (
    goTooOld(stderr, moduleDir) ??
    new SlimGoError('VULN_FAILED', `govulncheck failed (exit status ${exitCode}): nothing was checked.`, {
      hint: moduleHint(stderr, moduleDir) ?? 'Its own messages stand above.',
    })
  );
}
