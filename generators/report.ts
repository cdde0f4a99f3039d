import { SlimGoError } from '../errors';

/**
 * The outermost call of every generator. Nx prints the message of what a generator throws and nothing else of it, so the
 * hint of a `SlimGoError` is put under the message.
 */
export async function runGenerator<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof SlimGoError) || error.hint === undefined) throw error;
    const message = `${error.message}\n${error.hint.replace(/^/gm, '  ')}`;
    throw new SlimGoError(error.code, message, { cause: error });
  }
}
