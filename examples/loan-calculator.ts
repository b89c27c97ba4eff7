// Loans in TypeScript: types are taken out in the jail before anything runs, and errors keep their line and column.

interface Loan {
  amount: number;
  yearlyRate: number;
  months: number;
}

type Row = { month: number; interest: number; repaid: number; left: number };

const cents = (value: number): number => Math.round(value * 100) / 100;

/** The payment that ends a loan after its months: an annuity, or equal parts when there is no interest. */
function payment({ amount, yearlyRate, months }: Loan): number {
  const rate = yearlyRate / 1200;
  return rate === 0 ? amount / months : (amount * rate) / (1 - (1 + rate) ** -months);
}

const inputs = {
  amount: { type: 'number', required: true, description: 'What is borrowed' },
  yearlyRate: { type: 'number', required: true, description: 'Interest in percent a year' },
  months: { type: 'integer', required: true, description: 'Months until it is paid back' },
} as const;

export default {
  id: 'loan-calculator',
  name: 'Loan Calculator',
  version: '1.0.0',
  description: 'What a loan costs each month, and in all',

  actions: {
    monthlyPayment: {
      description: 'The monthly payment of a loan, and the interest it costs in all',
      inputs,
      outputs: { payment: { type: 'number' }, interest: { type: 'number' } },
      async run(loan: Loan): Promise<{ payment: number; interest: number }> {
        const monthly = payment(loan);
        return { payment: cents(monthly), interest: cents(monthly * loan.months - loan.amount) };
      },
    },
    schedule: {
      description: 'Month by month: the interest, what is paid back, and what is left of a loan',
      inputs,
      outputs: { rows: { type: 'array' } },
      async run(loan: Loan): Promise<{ rows: Row[] }> {
        if (loan.months > 600) throw new RangeError(`a loan of ${loan.months} months is longer than 50 years`);
        const monthly = payment(loan);
        const rows: Row[] = [];
        for (let left = loan.amount, month = 1; month <= loan.months; month += 1) {
          const interest = (left * loan.yearlyRate) / 1200;
          left = month === loan.months ? 0 : left + interest - monthly;
          rows.push({ month, interest: cents(interest), repaid: cents(monthly - interest), left: cents(left) });
        }
        return { rows };
      },
    },
  },

  examples: [
    {
      action: 'monthlyPayment',
      input: { amount: 10000, yearlyRate: 6, months: 12 },
      expected_output: { payment: 860.66, interest: 327.97 },
    },
  ],

  permissions: ['compute.light'],
} satisfies object;
