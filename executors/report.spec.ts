import { SlimGoError } from '../errors';
import { formatDuration, formatSize, runExecutor } from './report';

describe('runExecutor', () => {
  it('prints message and indented hint, and is no success', async () => {
    let text = '';
    const spy = jest.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
      text += chunk;
      return true;
    });
    const result = await runExecutor(async () => {
      throw new SlimGoError('OPTION_INVALID', 'It is wrong.', { hint: 'Do this\nor that.' });
    }).finally(() => spy.mockRestore());
    expect(result).toEqual({ success: false });
    expect(text).toBe('It is wrong.\n  Do this\n  or that.\n');
  });

  it.each([
    [{ FORCE_COLOR: 'true' }, false],
    [{ FORCE_COLOR: '1' }, true],
    [{ FORCE_COLOR: '0' }, false],
    [{ FORCE_COLOR: '1', NO_COLOR: '1' }, false],
  ])('is in colour where the user wants it, not where Nx always does: %j', async (env, isRed) => {
    const { NO_COLOR: _, ...others } = process.env;
    const replaced = jest.replaceProperty(process, 'env', { ...others, ...env });
    const written: unknown[] = [];
    const spy = jest.spyOn(process.stderr, 'write').mockImplementation((chunk) => written.push(chunk) > 0);
    await runExecutor(async () => {
      throw new SlimGoError('OPTION_INVALID', 'It is wrong.');
    }).finally(() => spy.mockRestore());
    replaced.restore();
    expect(written).toEqual([isRed ? '\u001b[31mIt is wrong.\u001b[39m\n' : 'It is wrong.\n']);
  });

  it('lets a bug crash with its stack', async () => {
    const bug = new TypeError('x is undefined');
    await expect(runExecutor(() => Promise.reject(bug))).rejects.toBe(bug);
  });

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'calls work that %s interrupted no success, whatever it returns',
    async (name) => {
      const result = await runExecutor(async (signal) => {
        process.emit(name, name);
        return { success: signal.aborted };
      });
      expect(result).toEqual({ success: false });
      expect(process.listenerCount(name)).toBe(0);
    },
  );

  it('takes the signals of one Ctrl-C for one, and dies of another one later', async () => {
    const kill = jest.spyOn(process, 'kill').mockReturnValue(true);
    let now = 5000;
    const clock = jest.spyOn(performance, 'now').mockImplementation(() => now);
    try {
      await runExecutor(async () => {
        process.emit('SIGINT', 'SIGINT');
        now += 900;
        process.emit('SIGTERM', 'SIGTERM');
        expect(kill).not.toHaveBeenCalled();
        now += 200;
        process.emit('SIGINT', 'SIGINT');
        return { success: true };
      });
      expect(kill.mock.calls).toEqual([[process.pid, 'SIGINT']]);
    } finally {
      kill.mockRestore();
      clock.mockRestore();
    }
  });
});

it.each([
  [0, '0 B'],
  [999, '999 B'],
  [1000, '1 kB'],
  [1_385_000, '1.39 MB'],
  [999_950, '1 MB'],
  [12_345_678_901, '12.3 GB'],
])('writes the size %d as %s', (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});

it.each([
  [86.6, '87 ms'],
  [999.9, '1.0 s'],
  [59_970, '1 min 0 s'],
  [125_000, '2 min 5 s'],
])('writes the duration %d as %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});
