import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { SlimGoError } from '../errors';
import { goFiles, notFormatted, unformatted } from './gofmt';
import type { lintConfigs } from './lint-config';
import { needTool, type Tool, type ToolCall } from './tool';
import { type GoResult, goTooOld, moduleHint, runGo, tagFlags } from './toolchain';

const golangciLint: Tool = {
  name: 'golangci-lint',
  path: 'github.com/golangci/golangci-lint/v2/cmd/golangci-lint',
  version: 'v2.15.0',
};
const staticcheck: Tool = { name: 'staticcheck', path: 'honnef.co/go/tools/cmd/staticcheck', version: 'v0.8.2' };

/** Packages to be looked at: nothing is left to decide, paths are absolute. */
export interface ResolvedLint {
  /** Where tools run; names in output start here. */
  readonly moduleDir: string;
  /** `./apps/hello/...`: folders of the module, as the go command takes them. */
  readonly packages: readonly string[];
  readonly linter: keyof typeof lintConfigs | 'vet';
  /** The linter's configuration; undefined: the linter's own defaults. */
  readonly config: string | undefined;
  readonly tags: readonly string[];
  /** More arguments of the linter, before the packages. */
  readonly args: readonly string[];
}

/**
 * Looks for mistakes with the linter; writes nothing.
 * @throws LINT_FAILED where one is found, FORMAT_FAILED, TOOL_NOT_FOUND, GO_TOO_OLD
 */
export async function goLint(lint: ResolvedLint, call: ToolCall): Promise<void> {
  if (lint.config !== undefined) mustBeReadable(lint.config);
  await { 'golangci-lint': runGolangciLint, staticcheck: runStaticcheck, vet: vetAndGofmt }[lint.linter](lint, call);
}

/** staticcheck passes over a configuration that it can't open. @throws LINT_FAILED */
function mustBeReadable(config: string): void {
  try {
    readFileSync(config);
  } catch (error) {
    throw new SlimGoError('LINT_FAILED', `${config} can't be read (${(error as NodeJS.ErrnoException).code}).`, {
      hint: 'Make it a readable file, or remove it to lint without it.',
      cause: error,
    });
  }
}

async function runGolangciLint(lint: ResolvedLint, toolCall: ToolCall): Promise<void> {
  const { moduleDir, packages, config, tags, args } = lint;
  const call = { ...toolCall, cwd: moduleDir };
  const run = await needTool(golangciLint, wanted(lint), call);
  const flags = [
    // What lies above the workspace must not decide.
    ...(config === undefined ? ['--no-config'] : [`--config=${relative(moduleDir, config)}`]),
    // Otherwise tasks at the same time fail for its lock.
    '--allow-parallel-runners',
    // A configuration may say otherwise.
    '--fix=false',
    ...(tags.length === 0 ? [] : [`--build-tags=${tags.join(',')}`]),
  ];
  toolCall.onStep?.(`golangci-lint run ${[...args, ...packages].join(' ')}`);
  const result = await run(['run', ...flags, ...args, ...packages], call);
  // 1 is a finding; others are https://golangci-lint.run/docs/configuration/cli/ errors of its own.
  failUnlessPassed('golangci-lint', result, lint);
}

async function runStaticcheck(lint: ResolvedLint, toolCall: ToolCall): Promise<void> {
  const { moduleDir, packages, tags, args } = lint;
  const call = { ...toolCall, cwd: moduleDir };
  const run = await needTool(staticcheck, wanted(lint), call);
  toolCall.onStep?.(`staticcheck ${[...args, ...packages].join(' ')}`);
  const result = await run([...tagFlags(tags), ...args, ...packages], call);
  failUnlessPassed('staticcheck', result, lint);
}

/** Both, whatever the first one finds: who mends wants to see all. */
async function vetAndGofmt(lint: ResolvedLint, call: ToolCall): Promise<void> {
  const failures: SlimGoError[] = [];
  for (const check of [vet, gofmtCheck]) {
    await check(lint, call).catch((error: unknown) => {
      if (!(error instanceof SlimGoError) || !/^(LINT|FORMAT)_FAILED$/.test(error.code)) throw error;
      failures.push(error);
    });
  }
  const [first] = failures;
  if (first === undefined) return;
  if (failures.length === 1) throw first;
  const joined = (part: 'message' | 'hint') => failures.map((failure) => failure[part]).join('\n');
  throw new SlimGoError('LINT_FAILED', joined('message'), { hint: joined('hint') });
}

async function vet(lint: ResolvedLint, call: ToolCall): Promise<void> {
  const { moduleDir, packages, tags, args } = lint;
  call.onStep?.(`go vet ${[...args, ...packages].join(' ')}`);
  const result = await runGo(['vet', ...tagFlags(tags), ...args, ...packages], { ...call, cwd: moduleDir });
  // So it is where every file is for another platform: it says so, and gofmt looks at them nevertheless.
  if (/^no packages to vet$/m.test(result.stderr)) return;
  failUnlessPassed('go vet', result, lint);
}

async function gofmtCheck({ moduleDir, packages }: ResolvedLint, call: ToolCall): Promise<void> {
  call.onStep?.(`gofmt -d ${packages.join(' ')}`);
  const files = goFiles(moduleDir, packages);
  const found = await unformatted(files, { moduleDir, formatter: 'gofmt', check: true }, call);
  if (found.length > 0) throw notFormatted(found, 'gofmt');
}

function wanted({ config, moduleDir, linter }: ResolvedLint): string {
  return config === undefined ? `The option linter asks for ${linter}.` : `${relative(moduleDir, config)} asks for it.`;
}

/** @throws GO_TOO_OLD, LINT_FAILED */
function failUnlessPassed(title: string, { exitCode, stderr }: GoResult, { moduleDir }: ResolvedLint): void {
  if (exitCode === 0) return;
  const how = exitCode === -1 ? 'was killed' : `failed (exit status ${exitCode})`;
  throw (
    goTooOld(stderr, moduleDir) ??
    new SlimGoError('LINT_FAILED', `${title} ${how}.`, {
      hint: moduleHint(stderr, moduleDir) ?? 'Its own messages stand above.',
    })
  );
}
