import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { SlimGoError } from '../errors';
import { parseModFile } from './modfile';
import { inFolder, isPackageFolder } from './packages';
import { needTool, type Run, type Tool, type ToolCall } from './tool';
import { type GoCall, goEnv, maxPatternsLength, programIn, runProgram } from './toolchain';

/** All of them take gofmt's flags. */
const formatters = {
  goimports: { name: 'goimports', path: 'golang.org/x/tools/cmd/goimports', version: 'v0.52.0' },
  gofumpt: { name: 'gofumpt', path: 'mvdan.cc/gofumpt', version: 'v0.9.2' },
} satisfies Record<string, Tool>;

export type Formatter = 'gofmt' | keyof typeof formatters;

/** Files to be formatted: nothing is left to decide. */
export interface ResolvedFormat {
  /** Absolute; names in output start here. */
  readonly moduleDir: string;
  /** `./apps/hello/...`: folders of the module, as the go command takes them. */
  readonly packages: readonly string[];
  readonly formatter: Formatter;
  /** Write nothing, and fail where something would be written. */
  readonly check: boolean;
}

/**
 * Formats the Go files of packages, or checks that it would change none. The names of files that are rewritten are output.
 * @throws FORMAT_FAILED, OPTION_INVALID, TOOL_NOT_FOUND
 */
export async function goFormat(format: ResolvedFormat, call: ToolCall): Promise<void> {
  const { moduleDir, packages, formatter, check } = format;
  const files = goFiles(moduleDir, packages);
  const found = await unformatted(files, format, call);
  if (check) {
    if (found.length > 0) throw notFormatted(found, formatter);
    return;
  }
  await overFiles(['-w'], found, format, call);
  const rewritten = `${found.length} of ${files.length} files rewritten`;
  call.onOutput?.(Buffer.from([...found, rewritten, ''].join('\n')), 'stdout');
}

/**
 * Those of `files` that the formatter would change; with `check` a diff says what.
 * @throws FORMAT_FAILED for what is no Go, TOOL_NOT_FOUND
 */
export async function unformatted(
  files: readonly string[],
  format: Pick<ResolvedFormat, 'moduleDir' | 'formatter' | 'check'>,
  { onOutput, ...call }: ToolCall,
): Promise<string[]> {
  const onError: GoCall['onOutput'] = (chunk, stream) => {
    if (stream === 'stderr') onOutput?.(chunk, stream);
  };
  const listed = await overFiles(['-l'], files, format, { ...call, onOutput: onError });
  const found = listed.split(/\r?\n/).filter(Boolean);
  if (format.check && found.length > 0) await overFiles(['-d'], found, format, { ...call, onOutput });
  return found;
}

export function notFormatted(files: readonly string[], formatter: Formatter): SlimGoError {
  const count = files.length === 1 ? '1 file is' : `${files.length} files are`;
  return new SlimGoError('FORMAT_FAILED', `${count} not formatted as ${formatter} does it: ${files.join(', ')}.`, {
    hint: 'Run the target format, or let your editor format when it saves.',
  });
}

/** Runs the formatter over all files. @returns what it wrote to standard output */
async function overFiles(
  flags: readonly string[],
  files: readonly string[],
  { moduleDir, formatter }: Pick<ResolvedFormat, 'moduleDir' | 'formatter'>,
  call: ToolCall,
): Promise<string> {
  const goCall = { ...call, cwd: moduleDir };
  const run = formatter === 'gofmt' ? await gofmt(goCall) : await needFormatter(formatter, goCall);
  let output = '';
  for (const chunk of chunksOf(files)) {
    const { exitCode, stdout, stderr } = await run([...flags, ...chunk], goCall);
    // A diff ends with 1 from some versions of Go on.
    if (exitCode !== 0 && (stderr !== '' || stdout === '')) {
      throw new SlimGoError('FORMAT_FAILED', `${formatter} can't read every file (exit status ${exitCode}).`, {
        hint: 'Its own messages stand above; they name files and lines.',
      });
    }
    output += stdout;
  }
  return output;
}

function needFormatter(formatter: keyof typeof formatters, call: GoCall): Promise<Run> {
  return needTool(formatters[formatter], `The option formatter asks for it.`, call);
}

/** The gofmt that belongs to the go command, where `go fmt` looks for it. */
async function gofmt(call: GoCall): Promise<Run> {
  const { GOROOT } = await goEnv(['GOROOT'], { ...call, onOutput: undefined });
  const file = programIn(join(GOROOT, 'bin'), 'gofmt');
  if (file === undefined) {
    throw new SlimGoError('TOOL_NOT_FOUND', `There is no gofmt in ${join(GOROOT, 'bin')}.`, {
      hint: 'It comes with Go: install Go again from https://go.dev/dl/.',
    });
  }
  return (args, runCall) => runProgram(file, args, runCall);
}

function* chunksOf(files: readonly string[]): Generator<string[]> {
  let chunk: string[] = [];
  let length = 0;
  for (const file of files) {
    if (length + file.length > maxPatternsLength && chunk.length > 0) {
      yield chunk;
      chunk = [];
      length = 0;
    }
    chunk.push(file);
    length += file.length + 1;
  }
  if (chunk.length > 0) yield chunk;
}

/**
 * The Go files of packages, from the module's root with `/`. Those that `go fmt` formats, and those of packages that build
 * constraints exclude altogether, which it does not see; none of node_modules, which is other people's.
 * @throws OPTION_INVALID where a pattern matches no Go file
 */
export function goFiles(moduleDir: string, packages: readonly string[]): string[] {
  const { ignores } = parseModFile(readFileSync(join(moduleDir, 'go.mod'), 'utf8'), join(moduleDir, 'go.mod'));
  const found = packages.flatMap((pattern) => {
    const [, dir = '', below] = /^\.?\/?(.*?)(\/?\.\.\.)?$/.exec(pattern)!;
    const files = filesOf(moduleDir, dir, below !== undefined, ignores);
    if (files.length > 0) return files;
    throw new SlimGoError('OPTION_INVALID', `packages: there is no Go file in ${join(moduleDir, pattern)}.`, {
      hint: 'Name folders as the go command does, from the project: "./...", "./internal/x".',
    });
  });
  return [...new Set(found)].sort();
}

function filesOf(moduleDir: string, dir: string, recursive: boolean, ignores: readonly string[]): string[] {
  const folder = join(moduleDir, dir);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = inFolder(dir, entry.name);
    if (entry.isDirectory()) {
      const isOwn = isPackageFolder(path, ignores) && entry.name !== 'node_modules';
      return recursive && isOwn && !existsSync(join(folder, entry.name, 'go.mod'))
        ? filesOf(moduleDir, path, recursive, ignores)
        : [];
    }
    return /^[^._].*\.go$/.test(entry.name) && statSync(join(folder, entry.name)).isFile() ? [path] : [];
  });
}
