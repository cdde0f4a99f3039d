import { ProgressLine, WaitingLine } from './progress-line';

const terminal = (isTTY: boolean) => {
  const written: string[] = [];
  return { isTTY, written, write: (text: string) => written.push(text) };
};

it('shows how far it is on a terminal, and takes the line away', () => {
  const shown = terminal(true);
  const line = new ProgressLine('pushing', 10_000_000, shown);
  line.add(2_500_000);
  line.clear();
  expect(shown.written).toEqual(['\r\u001b[Kpushing  2.5 MB of 10 MB  25%', '\r\u001b[K']);
  // What is sent again is no more than all.
  line.add(20_000_000);
  expect(shown.written.at(-1)).toContain('100%');
});

it('writes nothing where nobody looks', () => {
  const log = terminal(false);
  const line = new ProgressLine('pushing', 10, log);
  line.add(5);
  line.clear();
  expect(log.written).toEqual([]);
});

it('says after a second what is waited for, and makes way for other output', () => {
  jest.useFakeTimers();
  const shown = terminal(true);
  const log = terminal(false);
  let what = 'go build';
  const lines = [shown, log].map((one) => new WaitingLine(() => what, one));
  jest.advanceTimersByTime(900);
  for (const line of lines) line.clear();
  jest.advanceTimersByTime(900);
  expect(shown.written).toEqual([]);
  jest.advanceTimersByTime(300);
  what = 'TestTop';
  jest.advanceTimersByTime(1000);
  for (const line of lines) line.end();
  jest.advanceTimersByTime(5000);
  expect(shown.written).toEqual(['\r\u001b[Kgo build  1.1 s', '\r\u001b[KTestTop  2.1 s', '\r\u001b[K']);
  expect(log.written).toEqual([]);
  jest.useRealTimers();
});
