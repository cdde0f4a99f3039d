import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SlimGoError } from '../errors';
import { minorVersion } from './packages';
import type { ToolCall } from './tool';
import { type GoCall, type GoResult, goTooOld, goVersion, runGo } from './toolchain';

export interface ResolvedTidy {
  /** Folder of the go.mod, absolute. */
  readonly moduleDir: string;
  /** Write nothing, and fail where something would be written. */
  readonly check: boolean;
}

/**
 * Runs `go mod tidy` in a module, or checks that it would change nothing; a go.work around it does not take part, as Go has it.
 * @throws TIDY_FAILED, GO_TOO_OLD
 */
export async function goTidy({ moduleDir, check }: ResolvedTidy, toolCall: ToolCall): Promise<void> {
  const call = { ...toolCall, cwd: moduleDir };
  if (check) await checkTidy(call);
  else failUnlessRun(await tidy([], call), call);
}

function tidy(flags: readonly string[], call: GoCall): Promise<GoResult> {
  return runGo(['mod', 'tidy', ...flags], call);
}

async function checkTidy(call: GoCall): Promise<void> {
  const version = await goVersion({ ...call, onOutput: undefined });
  if (minorVersion(version) < 23) return checkCopy(call);
  const result = await tidy(['-diff'], call);
  if (result.stdout !== '') throw notTidy(['go.mod or go.sum'], call);
  failUnlessRun(result, call);
}

/** Before Go 1.23 there is no `-diff`: tidies copies of both files in place of them. */
async function checkCopy(call: GoCall): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'slim-go-tidy-'));
  const read = (file: string) => readFile(file, 'utf8').catch(() => '');
  try {
    const names = ['go.mod', 'go.sum'] as const;
    for (const name of names) await copyFile(join(call.cwd, name), join(folder, name)).catch(() => undefined);
    failUnlessRun(await tidy([`-modfile=${join(folder, 'go.mod')}`], call), call);
    const changed: string[] = [];
    for (const name of names) {
      const [before, after] = [await read(join(call.cwd, name)), await read(join(folder, name))];
      if (before === after) continue;
      changed.push(name);
      call.onOutput?.(Buffer.from(changedLines(name, before, after)), 'stdout');
    }
    if (changed.length > 0) throw notTidy(changed, call);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Lines that only one of two texts has, as a diff writes them. */
function changedLines(name: string, before: string, after: string): string {
  const [old, now] = [before.split('\n'), after.split('\n')];
  const gone = old.flatMap((line, index) => (now.includes(line) ? [] : [`${name}:${index + 1}: -${line}\n`]));
  const added = now.flatMap((line, index) => (old.includes(line) ? [] : [`${name}:${index + 1}: +${line}\n`]));
  return [...gone, ...added].join('') || `${name}: other order or spacing\n`;
}

function notTidy(names: readonly string[], { cwd }: GoCall): SlimGoError {
  return new SlimGoError('TIDY_FAILED', `go mod tidy would change ${names.join(' and ')} in ${cwd}.`, {
    hint: 'Run the target tidy, and commit what it changes.',
  });
}

/** @throws GO_TOO_OLD, TIDY_FAILED */
function failUnlessRun({ exitCode, stderr }: GoResult, { cwd }: GoCall): void {
  if (exitCode === 0) return;
  throw (
    goTooOld(stderr, cwd) ??
    new SlimGoError('TIDY_FAILED', `go mod tidy failed (exit status ${exitCode}) in ${cwd}.`, {
      hint: "go's own messages stand above. A module of this repository that is published nowhere needs a replace line in go.mod: go mod tidy looks at no go.work.",
    })
  );
}
