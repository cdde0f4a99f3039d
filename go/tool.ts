import { SlimGoError } from '../errors';
import { findProgram, type GoCall, type GoResult, goTooOld, runGo, runProgram } from './toolchain';

/** How a tool is run, besides where. */
export type ToolCall = Omit<GoCall, 'cwd'> & {
  /** Gets what is about to run. */
  readonly onStep?: ((step: string) => void) | undefined;
};

/** Runs a program that is found already. */
export type Run = (args: readonly string[], call: GoCall) => Promise<GoResult>;

/** A program written in Go that a project may use. */
export interface Tool {
  readonly name: string;
  /** What `go install` and go.mod's `tool` lines call it. */
  readonly path: string;
  /** The one to propose where there is none. */
  readonly version: string;
}

/**
 * The tool as the module knows it (`go tool`, from a `tool` line of go.mod, Go 1.24 and later), otherwise the one on PATH.
 * @throws GO_NOT_FOUND; GO_TOO_OLD or TOOL_NOT_FOUND where go.mod can't be read
 */
export async function findTool(name: string, call: GoCall): Promise<Run | undefined> {
  const { exitCode, stdout, stderr } = await runGo(['tool'], { ...call, onOutput: undefined });
  if (exitCode !== 0) {
    throw goTooOld(stderr, call.cwd) ?? new SlimGoError('TOOL_NOT_FOUND', `go tool failed: ${stderr.trim()}`);
  }
  const path = stdout.split(/\r?\n/).find((line) => line.endsWith(`/${name}`));
  if (path !== undefined) return (args, toolCall) => runGo(['tool', path, ...args], toolCall);
  const file = findProgram(name, { ...(call.processEnv ?? process.env), ...call.env });
  return file === undefined ? undefined : (args, toolCall) => runProgram(file, args, toolCall);
}

/**
 * As findTool, for a tool that has to be there. @param why who wants it: `.golangci.yml asks for it`
 * @throws TOOL_NOT_FOUND
 */
export async function needTool(tool: Tool, why: string, call: GoCall): Promise<Run> {
  const { name, path, version } = tool;
  const run = await findTool(name, call);
  if (run) return run;
  throw new SlimGoError('TOOL_NOT_FOUND', `${name} is not installed: it is no tool of go.mod and not on PATH. ${why}`, {
    hint:
      `Write it into go.mod: go get -tool ${path}@${version} (Go 1.24 and later);\n` +
      `or install it: go install ${path}@${version}, with the folder that "go env GOPATH" names, and bin in it, on PATH.`,
  });
}
